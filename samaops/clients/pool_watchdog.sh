# Let a database of PgBouncer go on when its time is over, whatever has become of whoever paused it.
# Arguments: what to do (try, start, guard, release, end), this script, the mark of the database, how to connect, the statement,
# the seconds. Standard input: the password, which stands nowhere else; an empty line where there is none.
# try: see that the console can be reached from here. start: end an earlier guard of this database, start one that lives
# on without us, and say its process. guard: that one. release: let it do now what it waits to do. end: end it without that.
# Standard output: one marked line.
what=$1 script=$2 mark=$3 info=$4 statement=$5 seconds=$6
answer() { printf 'samaops-watchdog: %s\n' "$*"; exit 0; }
IFS= read -r password
# psql reads a password from its standard input where there is no terminal, and then its statements.
[ -n "$password" ] && asks=-W || asks=-w
say() { if [ -n "$password" ]; then printf '%s\n' "$password"; fi; }
ask() { say | timeout 10 psql -X -q -A -t "$asks" "$info" -c "$1" 2>&1; }
end_earlier() {
  for place in $(grep -lzxF "$mark guard" /proc/[0-9]*/cmdline 2>/dev/null); do
    place=${place#/proc/}
    kill -TERM "-${place%/cmdline}" 2>/dev/null
  done
}
look_ahead() {
  for program in psql setsid timeout grep; do
    command -v "$program" >/dev/null 2>&1 || answer "cannot $program: not found"
  done
  # Then logind ends with a session whatever it has started.
  [ "$(id -u)" = 0 ] || case $(timeout 2 loginctl show-session -p KillUserProcesses 2>/dev/null) in
    *=yes) answer 'cannot KillUserProcesses=yes in logind.conf' ;;
  esac
  said=$(ask 'SHOW VERSION') || answer "cannot $(printf '%s' "${said#Password: }" | tr '\n' ' ' | head -c 300)"
}
case $what in
  try) look_ahead; answer ready ;;
  end) end_earlier; answer ended ;;
  release)
    for place in $(grep -lzxF "$mark guard" /proc/[0-9]*/cmdline 2>/dev/null); do
      place=${place#/proc/} guard=${place%/cmdline}
      # Its group has one sleep: once that is over, the statement goes to its psql.
      for sleeper in $(grep -lE "^[0-9]+ \(sleep\) . [0-9]+ $guard " /proc/[0-9]*/stat 2>/dev/null); do
        sleeper=${sleeper#/proc/}
        kill -TERM "${sleeper%/stat}" 2>/dev/null
      done
    done
    tries=50
    while [ "$tries" -gt 0 ] && grep -qzxF "$mark guard" /proc/[0-9]*/cmdline 2>/dev/null; do
      tries=$((tries - 1))
      sleep 0.1
    done
    end_earlier
    answer ended ;;
  start)
    look_ahead
    end_earlier
    # A session of its own: what ends ours, and a signal to our group, does not reach it.
    guard=$(say | setsid sh -c "$script" "$mark guard" guard - "$mark" "$info" "$statement" "$seconds" 3>&1 >/dev/null 2>&1 &)
    [ -n "$guard" ] && kill -0 "$guard" && answer "ready $guard"
    answer 'cannot start' ;;
  guard)
    trap '' HUP
    echo $$ >&3
    exec 3>&-
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
