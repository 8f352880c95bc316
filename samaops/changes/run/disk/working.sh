# Give space of one disk back, or keep some of it, and measure the disk before and after.
# Arguments: what; the mount point ("" for the one where Docker keeps its data); bytes; a command ("" for none); then for
# each file its path, its inode and its size (0: any). The last lines are `left PATH: REASON` for each file that was not
# touched, and `measured BEFORE AFTER`, the bytes that are available.
what=$1 mount=$2 count=$3 command=$4
shift 4
uid=$(id -u)
as_root() { if [ "$uid" = 0 ]; then "$@"; else sudo -n -- "$@"; fi; }
docker=docker
case $command in docker*) docker ps -q >/dev/null 2>&1 || docker="as_root docker" ;; esac
[ -n "$mount" ] || mount=$($docker info --format '{{.DockerRootDir}}' 2>/dev/null)
[ -n "$mount" ] || mount=/
available() { df -B1 --output=avail -- "$mount" | tail -n 1 | tr -d ' '; }
left() { printf 'left %s: %s\n' "$1" "$2"; failed=1; }
failed=
before=$(available) || exit 1
reserve=${mount%/}/.samaops-reserve

# It is a plain file of that inode and size, and no link of it elsewhere keeps its space.
is_as_seen() {
  seen=$(as_root stat -c '%F|%i|%s|%h' -- "$1" 2>/dev/null)
  case $seen in
    'regular file|'"$2"'|'*'|1') [ "$3" = 0 ] || [ "$seen" = "regular file|$2|$3|1" ] ;;
    *) return 1 ;;
  esac
}

# The copy is whole and on disk before the file goes; its owner, mode and time are the file's.
compress='
  set -e
  if [ -e "$1.gz" ]; then echo "$1.gz is there" >&2; exit 1; fi
  trap "rm -f -- \"\$1.samaops-partial\"" EXIT
  nice -n 19 gzip -c -- "$1" >"$1.samaops-partial"
  nice -n 19 gzip -t <"$1.samaops-partial"
  chown --reference="$1" -- "$1.samaops-partial"; chmod --reference="$1" -- "$1.samaops-partial"
  touch --reference="$1" -- "$1.samaops-partial"
  sync -- "$1.samaops-partial"
  mv -n -- "$1.samaops-partial" "$1.gz"
  rm -- "$1"'
uncompress='
  set -e
  [ -f "$1.gz" ] && [ ! -e "$1" ] || exit 0
  trap "rm -f -- \"\$1.samaops-partial\"" EXIT
  nice -n 19 gzip -dc -- "$1.gz" >"$1.samaops-partial"
  chown --reference="$1.gz" -- "$1.samaops-partial"; chmod --reference="$1.gz" -- "$1.samaops-partial"
  touch --reference="$1.gz" -- "$1.samaops-partial"
  sync -- "$1.samaops-partial"
  mv -n -- "$1.samaops-partial" "$1"
  rm -- "$1.gz"'
# A full disk has no room for the end of a log before it is emptied: memory holds it for that moment.
empty='
  set -e
  odd=$(head -c 4096 -- "$1" | LC_ALL=C tr -d "\11\12\15\33\40-\377" | wc -c)
  if [ "$odd" != 0 ]; then echo "it is no text" >&2; exit 1; fi
  umask 077
  kept=$(mktemp -p /dev/shm samaops.XXXXXX)
  trap "rm -f -- \"\$kept\"" EXIT
  tail -c "$2" -- "$1" | nice -n 19 gzip -c >"$kept"
  gzip -t <"$kept"
  truncate -s 0 -- "$1"
  beside=$1.$(date -u +%Y%m%dT%H%M%SZ).gz
  if [ -e "$beside" ]; then echo "$beside is there" >&2; exit 1; fi
  cp -- "$kept" "$beside"
  chown --reference="$1" -- "$beside"; chmod --reference="$1" -- "$beside"'
# It has no name, is that inode, and its holder only adds to its end.
empty_deleted='
  set -e
  [ "$(stat -L -c "%h %i" -- "$1")" = "0 $2" ] || { echo "it is another file now" >&2; exit 1; }
  flags=$(sed -n "s/^flags:[[:space:]]*//p" "${1%/fd/*}/fdinfo/${1##*/}")
  [ $((flags & 3)) = 1 ] && [ $((flags & 02000)) != 0 ] || { echo "it can be read by who holds it" >&2; exit 1; }
  truncate -s 0 -- "$1"'

each_file() {
  program=$1 bytes=$2
  shift 2
  while [ $# -ge 3 ]; do
    if said=$(as_root sh -c "$program" sh "$1" "$bytes" 2>&1 >/dev/null); then :; else left "$1" "$said"; fi
    shift 3
  done
}

checked() {
  program=$1
  shift
  while [ $# -ge 3 ]; do
    if is_as_seen "$1" "$2" "$3"; then each_file "$program" "$count" "$1" "$2" "$3"; else left "$1" 'it is another file now'; fi
    shift 3
  done
}

case $what in
  compress) checked "$compress" "$@" ;;
  uncompress) each_file "$uncompress" 0 "$@" ;;
  empty) checked "$empty" "$@" ;;
  empty_deleted) each_file "$empty_deleted" "$2" "$@" ;;
  journal) as_root journalctl -q --rotate; as_root journalctl -q --vacuum-size="$count" >/dev/null || exit 1 ;;
  packages) as_root apt-get -q clean || exit 1 ;;
  # A program and its arguments, quoted by us.
  command) said=$(eval "${command%%docker*}$docker${command#*docker}" 2>&1) || { printf '%s\n' "$said" >&2; exit 1; } ;;
  reserve)
    # Blocks that are really taken: a hole would give nothing back.
    as_root sh -c '
      set -e
      [ ! -e "$1" ] || exit 0
      umask 077
      trap "rm -f -- \"\$1.partial\"" EXIT
      fallocate -l "$2" -- "$1.partial" 2>/dev/null ||
        nice -n 19 dd if=/dev/urandom of="$1.partial" bs=1M count="$2" iflag=count_bytes,fullblock status=none
      [ "$(($(stat -c %b -- "$1.partial") * 512))" -ge "$2" ] || { echo "the file system gives no such blocks" >&2; exit 1; }
      sync -- "$1.partial"
      mv -n -- "$1.partial" "$1"' sh "$reserve" "$count" || exit 1 ;;
  give_up)
    # Nothing but the reserve: a plain file of ours, which nobody writes to.
    seen=$(as_root stat -c '%F|%h' -- "$reserve" 2>/dev/null)
    case $seen in
      '') ;;
      'regular file|1') as_root rm -- "$reserve" || exit 1 ;;
      *) printf '%s is not the reserve: %s\n' "$reserve" "$seen" >&2; exit 1 ;;
    esac ;;
  *) echo "$what: unknown" >&2; exit 64 ;;
esac
# Deleted blocks come back a moment later on some file systems.
sync -f -- "$mount" 2>/dev/null
printf 'measured %s %s\n' "$before" "$(available)"
[ -z "$failed" ]
