# Read the last words of the logs of services that run on this server itself. Changes nothing, writes nothing.
# Arguments: a token that starts each section; then of each service its name, its process's, the
# directory it works in (or "-"), and where its log may be.
token=$1
shift

look() {
  section now
  date '+%s %z'
  section log
  # The newest of the files where it may be, and of the one that the process itself writes to.
  as=as_root
  [ "$uid" = 0 ] || sudo -n -- env true 2>/dev/null || as=command
  $as env LC_ALL=C timeout -k 1 3 sh -c '
    while [ $# -ge 4 ]; do
      name=$1 home=$(readlink -f "$3") log=""
      # One in a container has another network, and PostgreSQL works in its data directory: no other is meant.
      network=$(readlink /proc/self/ns/net)
      for pid in $(pgrep -x "$2"); do
        [ "$(readlink "/proc/$pid/ns/net")" = "$network" ] || continue
        [ "$3" = - ] || [ "$(readlink "/proc/$pid/cwd")" = "$home" ] || continue
        [ ! -f "/proc/$pid/fd/2" ] || log=/proc/$pid/fd/2
      done
      for file in $4; do
        [ -f "$file" ] && { [ -z "$log" ] || [ "$file" -nt "$log" ]; } && log=$file
      done
      shift 4
      if [ -n "$log" ] && [ ! -r "$log" ]; then
        echo "denied $name $log"
      elif [ -n "$log" ]; then
        echo "source $name $(readlink "$log" || echo "$log")"
        # First what many clients that are told the same would push out: the last log-in that failed, the last pause that ended.
        tail -c 65536 -- "$log" | grep -aE "server login failed|RESUME.* command issued" | tail -n 2 | sed "s/^/log /"
        tail -c 65536 -- "$log" |
          grep -aE "FATAL|PANIC|ERROR|ERREUR|DETAIL|TAIL :|WARNING|because: .*(refused|failed)|ready to accept|pour accepter|RESUME.* command issued" | tail -n 40 | sed "s/^/log /"
        tail -n 5 -- "$log" | tail -c 8192 | sed "s/^/log /"
      elif command -v journalctl >/dev/null; then
        echo "source $name journalctl"
        journalctl -u "$name*" -n 40 --no-pager -o short-iso --since=-1h -q 2>/dev/null | sed "s/^/log /"
      fi
    done' sh "$@"
  printf 'exit %s\n' $?
}

look "$@" </dev/null
