# Let a database of PgBouncer go on when its time is over, whatever has become of whoever paused it. watchdog.sh stands before this.
# Arguments after those of a watchdog: how to connect, the statement, the seconds. Standard input: the password, which stands
# nowhere else; an empty line where there is none.
# try: see that the console can be reached from here. release: let the guard do now what it waits to do. end: end it without that.
info=$1 statement=$2 seconds=$3 needs=psql
IFS= read -r password
# psql reads a password from its standard input where there is no terminal, and then its statements.
[ -n "$password" ] && asks=-W || asks=-w
say() { if [ -n "$password" ]; then printf '%s\n' "$password"; fi; }
reach() { say | timeout 10 psql -X -q -A -t "$asks" "$info" -c 'SHOW VERSION'; }
case $what in
  try) look_ahead; answer ready ;;
  start) start "$info" "$statement" "$seconds" ;;
  end) end_earlier; answer ended ;;
  release)
    for guard in $(guards); do
      # Its group has one sleep: once that is over, the statement goes to its psql.
      for sleeper in $(grep -lE "^[0-9]+ \(sleep\) . [0-9]+ $guard " /proc/[0-9]*/stat 2>/dev/null); do
        sleeper=${sleeper#/proc/}
        kill -TERM "${sleeper%/stat}" 2>/dev/null
      done
    done
    tries=50
    while [ "$tries" -gt 0 ] && [ -n "$(guards)" ]; do
      tries=$((tries - 1))
      sleep 0.1
    done
    end_earlier
    answer ended ;;
  guard)
    begin_to_guard
    # It logs in now: later there may be no place for one more client.
    { say; sleep "$seconds"; printf '%s;\n' "$statement"; } | psql -X -q -A -t "$asks" "$info"
    # And anew, where that session was lost meanwhile.
    tries=60
    while :; do
      said=$({ say; printf '%s;\n' "$statement"; } | timeout 10 psql -X -q -A -t "$asks" "$info" 2>&1)
      code=$?
      case $said in *'is not paused'*) break ;; *ERROR*) code=1 ;; esac
      [ "$code" != 0 ] || break
      tries=$((tries - 1))
      [ "$tries" -gt 0 ] || break
      sleep 1
    done ;;
esac
