# Give a member of the balancer its place back, or a worker its queues, when its time is over, whatever has become of whoever
# took it out. watchdog.sh stands before this.
# Arguments after those of a watchdog: a command that sees whether the balancer can be reached from here, the command that puts
# the member back, the seconds. Standard input: what both commands read on theirs, a password among it, which stands nowhere else.
look=$1 put_back=$2 seconds=$3 needs=
secret=$(cat)
say() { printf '%s\n' "$secret"; }
reach() { say | timeout 10 sh -c "$look"; }
case $what in
  start) start "$look" "$put_back" "$seconds" ;;
  end) end_earlier; answer ended ;;
  guard)
    begin_to_guard
    sleep "$seconds"
    tries=120
    until say | timeout 20 sh -c "$put_back"; do
      tries=$((tries - 1))
      [ "$tries" -gt 0 ] || break
      sleep 5
    done ;;
esac
