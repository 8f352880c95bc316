# List what can be given back on the disks of a server: logs, the journal, packages, a reserve. Changes nothing.
# Arguments: a token that starts each section; seconds for each search; the directory of the application's logs; how many
# mount points follow, and they; then files: where there are any, or "-", only they are looked at and nothing is searched.
# As another user than root, what others own, and who holds it open, is seen with sudo -n only.
token=$1 seconds=$2 likely=$3 mounts=$4
shift 4
case $likely in *[!A-Za-z0-9/._-]*) likely= ;; esac

as_root() {
  if [ "$uid" = 0 ] || ! sudo -n true 2>/dev/null; then "$@"; else sudo -n -- "$@"; fi
}

# Files that are logs by their names, of at least 1 MB. What lies in images, databases and stores is none of ours.
logs() {
  as_root nice -n 19 timeout -k 1 "$seconds" stdbuf -oL find "$@" -xdev \
    \( -type d \( -name overlay2 -o -name pg_wal -o -name mnesia -o -name .minio.sys -o -name buildkit \
    -o -name journal -o -name 'io.containerd.*' -o -name proc -o -name sys -o -name '.samaops*' \) -prune \) -o \
    \( -type f -size +1023k -links 1 \( -name '*.log' -o -name '*.log.[0-9]*' -o -name '*.log-[0-9]*' -o -name '*.log.old' \
    -o -name '*-json.log*' \) -printf '%D\t%i\t%b\t%s\t%T@\t%p\n' \) 2>/dev/null
  [ $? -ge 124 ] && echo partial
}

# The same of files that are known by their names.
known_logs() {
  as_root timeout -k 1 "$seconds" find "$@" -maxdepth 0 -type f -printf '%D\t%i\t%b\t%s\t%T@\t%p\n' 2>/dev/null
}

# Leave out what lies in a store: the objects of MinIO may be called *.log, the files of a database too.
outside_stores() {
  lines=$(cat)
  # every directory above any of them, once
  above=$(printf '%s\n' "$lines" | awk -F '\t' 'NF == 6 {
    path = $6
    while (sub(/\/[^\/]*$/, "", path) && path != "") if (!seen[path]++) print path }')
  stores=$(printf '%s\n' "$above" | as_root timeout -k 1 3 sh -c '
    while read -r directory; do
      for mark in .minio.sys PG_VERSION CURRENT; do [ -e "$directory/$mark" ] && printf "%s\n" "$directory" && break; done
    done; echo ended')
  case $stores in *ended) ;; *) echo partial; return ;; esac
  printf '%s\n' "$lines" | STORES=$stores awk -F '\t' '
    BEGIN { n = split(ENVIRON["STORES"], store, "\n") }
    { for (i = 1; i < n; i++) if (index($6, store[i] "/") == 1) next; print }'
}

# How each of these files is held open: its device and inode, who, the descriptor, the flags (open(2)).
open_files() {
  as_root timeout -k 1 "$seconds" sh -c '
    find /proc/[0-9]*/fd -maxdepth 1 -type l -lname "/*" ! -lname "/dev/*" -printf "%p\n" 2>/dev/null |
      xargs -r stat -L -c "%d:%i %n" 2>/dev/null | awk -v wanted="$1" "
        BEGIN { n = split(wanted, keys, \" \"); for (i = 1; i <= n; i++) is[keys[i]] = 1 }
        \$1 in is { print }" | head -n 2000 | while read -r key path; do
      pid=${path#/proc/}; pid=${pid%%/*}
      flags=$(sed -n "s/^flags:[[:space:]]*//p" "/proc/$pid/fdinfo/${path##*/}" 2>/dev/null)
      printf "%s\t%s\t%s\t%s\n" "$key" "$pid" "${path##*/}" "${flags:-0}"
    done' sh "$1"
  printf 'exit %s\n' $?
}

used_by() { as_root timeout -k 1 2 du -sxB1 -- "$@" 2>/dev/null | cut -f 1 | head -n 1; }

look() {
  section now
  date +%s.%N
  section who
  if [ "$uid" = 0 ] || sudo -n true 2>/dev/null; then echo root; else echo user; fi
  points=
  while [ "$mounts" -gt 0 ]; do
    configured=$1 mounts=$((mounts - 1))
    shift
    mount=$(timeout -k 1 2 readlink -f -- "$configured") || continue
    [ "$(timeout -k 1 2 stat -c %m -- "$mount" 2>/dev/null)" = "$mount" ] || continue
    sizes=$(timeout -k 1 2 df -B1 --output=size,used,avail -- "$mount" 2>/dev/null | tail -n 1)
    [ -n "${sizes#"${sizes%%[0-9]*}"}" ] || continue
    section "mount $mount"
    printf '%s %s\n' "$(timeout -k 1 2 stat -c %d -- "$mount")" "${sizes#"${sizes%%[0-9]*}"}"
    points="$points $mount"
    reserve=${mount%/}/.samaops-reserve
    as_root test -f "$reserve" && printf 'reserve %s\n' "$(as_root stat -c '%b' -- "$reserve")"
  done
  section journal
  for directory in /var/log/journal; do
    [ -d "$directory" ] && command -v journalctl >/dev/null && printf '%s %s\n' "$(used_by "$directory")" "$directory"
  done
  section packages
  [ -d /var/cache/apt/archives ] && command -v apt-get >/dev/null &&
    printf '%s %s\n' "$(used_by /var/cache/apt/archives)" /var/cache/apt/archives
  section logs
  # Where logs lie as a rule comes first: a search of all may be cut off. The words are this script's own.
  usual=
  for directory in /var/log "$likely" /data/logs; do [ -d "$directory" ] && usual="$usual $directory"; done
  found=
  if [ $# = 0 ]; then
    [ -n "$points" ] && found=$(logs $usual $points | outside_stores | head -n 1000)
  elif [ "$1" != - ]; then
    found=$(known_logs "$@" | outside_stores)
  fi
  printf '%s\n' "$found"
  section open
  keys=$(printf '%s\n' "$found" | awk -F '\t' 'NF == 6 { printf "%s:%s ", $1, $2 }')
  [ -n "$keys" ] && open_files "$keys" || echo 'exit 0'
}

look "$@" </dev/null
