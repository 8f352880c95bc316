# Give a member of the balancer its place back, or a worker its queues, when its time is over, whatever has become of whoever took it out.
# Arguments: what to do (try, start, guard, end), this script, the mark of the member, a command that sees whether the
# balancer can be reached from here, the command that puts the member back, the seconds.
# Standard input: what both commands read on theirs, a password among it, which stands nowhere else.
# try: see that it could work here. start: end an earlier guard of this member, start one that lives on without us, and
# say its process. guard: that one. end: end it. Standard output: one marked line.
what=$1 script=$2 mark=$3 look=$4 put_back=$5 seconds=$6
answer() { printf 'samaops-balancer: %s\n' "$*"; exit 0; }
secret=$(cat)
say() { printf '%s\n' "$secret"; }
end_earlier() {
  for place in $(grep -lzxF "$mark guard" /proc/[0-9]*/cmdline 2>/dev/null); do
    place=${place#/proc/}
    kill -TERM "-${place%/cmdline}" 2>/dev/null
  done
}
look_ahead() {
  for program in setsid timeout grep; do
    command -v "$program" >/dev/null 2>&1 || answer "cannot $program: not found"
  done
  # Then logind ends with a session whatever it has started.
  [ "$(id -u)" = 0 ] || case $(timeout 2 loginctl show-session -p KillUserProcesses 2>/dev/null) in
    *=yes) answer 'cannot KillUserProcesses=yes in logind.conf' ;;
  esac
  said=$(say | timeout 10 sh -c "$look" 2>&1) || answer "cannot $(printf '%s' "$said" | tr '\n' ' ' | tail -c 300)"
}
case $what in
  try) look_ahead; answer ready ;;
  end) end_earlier; answer ended ;;
  start)
    look_ahead
    end_earlier
    # A session of its own: what ends ours, and a signal to our group, does not reach it.
    guard=$(say | setsid sh -c "$script" "$mark guard" guard - "$mark" "$look" "$put_back" "$seconds" 3>&1 >/dev/null 2>&1 &)
    [ -n "$guard" ] && kill -0 "$guard" && answer "ready $guard"
    answer 'cannot start' ;;
  guard)
    trap '' HUP
    echo $$ >&3
    exec 3>&-
    sleep "$seconds"
    tries=120
    until say | timeout 20 sh -c "$put_back"; do
      tries=$((tries - 1))
      [ "$tries" -gt 0 ] || break
      sleep 5
    done ;;
esac
