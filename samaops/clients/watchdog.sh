# What the watchdogs on a server share. A watchdog waits until its time is over and then does something, whatever has become
# of whoever started it. It is a shell in a session of its own that is known by its first word, "MARK guard".
# A program of its own follows this one: `say` gives what it has read on standard input, `reach` sees that it could do its work,
# `needs` are the programs that it calls. Arguments: what to do, this script with what follows, the mark; then those of the
# program. start: end an earlier guard of this mark, start one that lives on without us, and say its process. guard: that one.
# Standard output: one marked line.
what=$1 script=$2 mark=$3
shift 3
answer() { printf 'samaops-watchdog: %s\n' "$*"; exit 0; }
guards() {
  for place in $(grep -lzxF "$mark guard" /proc/[0-9]*/cmdline 2>/dev/null); do
    place=${place#/proc/}
    printf '%s\n' "${place%/cmdline}"
  done
}
end_earlier() {
  for guard in $(guards); do
    kill -TERM "-$guard" 2>/dev/null
  done
}
look_ahead() {
  for program in $needs setsid timeout grep; do
    command -v "$program" >/dev/null 2>&1 || answer "cannot $program: not found"
  done
  # Then logind ends with a session whatever it has started.
  [ "$(id -u)" = 0 ] || case $(timeout 2 loginctl show-session -p KillUserProcesses 2>/dev/null) in
    *=yes) answer 'cannot KillUserProcesses=yes in logind.conf' ;;
  esac
  said=$(reach 2>&1) || answer "cannot $(printf '%s' "${said#Password: }" | tr '\n' ' ' | tail -c 300)"
}
start() {
  look_ahead
  end_earlier
  # A session of its own: what ends ours, and a signal to our group, does not reach it.
  guard=$(say | setsid sh -c "$script" "$mark guard" guard - "$mark" "$@" 3>&1 >/dev/null 2>&1 &)
  [ -n "$guard" ] && kill -0 "$guard" && answer "ready $guard"
  answer 'cannot start'
}
begin_to_guard() {
  trap '' HUP
  echo $$ >&3
  exec 3>&-
}
