# Read what one container and its processes show now, before somebody restarts it. Changes nothing, writes nothing.
# Arguments: a token that starts each section; seconds for each docker command; the container. No command line of a
# process is read: it may hold a password.
token=$1 seconds=$2 name=$3

# A part with its time limit and its exit code; what it says on stderr says why it could not be had.
part() {
  section "$1"
  shift
  "$@"
  printf 'exit %s\n' $?
}

state='{"state":{{json .State}},"restarts":{{.RestartCount}},"image":{{json .Config.Image}},"image_id":{{json .Image}}'
state=$state',"memory":{{.HostConfig.Memory}},"policy":{{json .HostConfig.RestartPolicy}},"created":{{json .Created}}}'

inspected() {
  $docker inspect --format "$1" "$name"
}

log() {
  path=$(inspected '{{.LogPath}}') || return
  if [ -n "$path" ] && as_root test -r "$path"; then
    as_root timeout -k 1 3 sh -c '
      size=$(wc -c <"$1")
      nuls=$(tail -c 262144 "$1" | tr -cd "\000" | wc -c)
      echo "file $1: $size bytes, $nuls NUL bytes in its end"
      tail -c 262144 "$1" | tr -d "\000" | tail -n 300' sh "$path"
  else
    $docker logs -t --tail 300 "$name" 2>&1
  fi
}

# The processes of a container: its first one and all that come of it.
processes_of() {
  awk -v first="$1" '
    { sub(/^.*\) /, "", $0); split(FILENAME, path, "/"); parent[path[3]] = $2 }
    END {
      is_in[first] = 1
      do { more = 0; for (pid in parent) if (!is_in[pid] && is_in[parent[pid]]) is_in[pid] = more = 1 } while (more)
      for (pid in is_in) if (is_in[pid]) print pid
    }' /proc/[0-9]*/stat 2>/dev/null | sort -n | head -n 40
}

processes() {
  for pid in $pids; do
    awk -v pid="$pid" '
      /^(Name|State|Threads|VmRSS|VmSwap|voluntary_ctxt_switches|nonvoluntary_ctxt_switches):/ {
        gsub(/[ \t]+/, " "); line = line " " $0 ";" }
      END { print "process " pid ":" line }' "/proc/$pid/status"
  done
}

# Of each thread its state, the kernel function and the system call in which it waits, and the kernel's stack.
threads() {
  as_root timeout -k 1 3 sh -c '
    for pid; do
      for task in /proc/"$pid"/task/*; do
        state=$(sed -n "s/^State:[[:space:]]*//p" "$task/status")
        printf "thread %s of %s: %s; in %s; call %s\n" "${task##*/}" "$pid" "$state" \
          "$(cat "$task/wchan" 2>/dev/null || echo "?")" "$(cut -d" " -f1 "$task/syscall" 2>/dev/null || echo "?")"
      done
      cat "/proc/$pid/stack" | sed "s/^/  kernel: /"
    done | head -n 400' sh $pids
}

# Where Python itself is, for whoever has py-spy on the server; without the values of variables.
stacks() {
  command -v py-spy >/dev/null 2>&1 || { echo 'py-spy: not found' >&2; return 127; }
  for pid in $(printf '%s\n' $pids | head -n 4); do
    as_root timeout -k 1 3 py-spy dump --nonblocking --pid "$pid" || return
  done
}

files() {
  as_root timeout -k 1 3 sh -c '
    for pid; do
      limit=$(awk "/^Max open files/ { print \$4 }" "/proc/$pid/limits")
      echo "process $pid: $(ls "/proc/$pid/fd" | wc -l) open, limit $limit"
      find "/proc/$pid/fd" -type l -printf "%l\n" | sed "s/:\[[0-9]*\]$//" | sort | uniq -c | sort -rn | head -n 40
    done' sh $pids
}

# Which states its connections are in and where they lead; whoever listens, with what waits to be accepted (Recv-Q).
sockets() {
  as_root timeout -k 1 3 nsenter -t "$first" -n sh -c '
    echo "listening (Recv-Q: connections that nobody has accepted yet):"
    ss -ltn | head -n 100
    echo "connections, by state and far end:"
    ss -tanH | awk "\$1 != \"LISTEN\" { print \$1, \$5 }" | sort | uniq -c | sort -rn | head -n 60'
}

# Both versions of control groups; a server whose /sys/fs/cgroup is another's view may have neither.
memory() {
  group=$(sed -n 's/^0:://p' "/proc/$first/cgroup")
  directory=/sys/fs/cgroup$group
  [ -r "$directory/memory.current" ] || {
    group=$(sed -n 's/^[0-9]*:\([a-z,]*,\)\{0,1\}memory\(,[a-z,]*\)\{0,1\}://p' "/proc/$first/cgroup")
    directory=/sys/fs/cgroup/memory$group
  }
  seen=1
  for file in memory.current memory.max memory.swap.current memory.events memory.pressure cpu.pressure pids.current \
    memory.usage_in_bytes memory.limit_in_bytes memory.failcnt memory.oom_control; do
    [ -r "$directory/$file" ] && sed "s/^/$file /" "$directory/$file" && seen=0
  done
  [ $seen = 0 ] || echo 'memory of its control group: not found' >&2
  return $seen
}

server() {
  cat /proc/loadavg
  awk '/^(MemTotal|MemAvailable|SwapFree):/' /proc/meminfo
  df -P / /var/lib/docker 2>/dev/null
  ss -s 2>/dev/null | head -n 4
}

look() {
  has_docker || return
  docker=
  ask ps -q
  [ "$code" = 0 ] || { section state; printf '%s\n' "$answer"; printf 'exit %s\n' "$code"; return; }
  section variables
  inspected '{{json .Config.Env}}'
  part state inspected "$state"
  part log log
  first=$(inspected '{{.State.Pid}}' 2>/dev/null)
  case $first in
    '' | 0 | *[!0-9]*) ;;
    *)
      pids=$(processes_of "$first")
      part processes processes
      part threads threads
      part stacks stacks
      part files files
      part sockets sockets
      part memory memory ;;
  esac
  part server server
}

look </dev/null
