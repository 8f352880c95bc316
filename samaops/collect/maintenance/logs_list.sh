# List the log files of a directory, rotated and packed ones too, with what tells each from the others.
# Changes nothing. Arguments: a token that starts each section; the directory; the pattern of names; the time of the
# earlier reading in seconds since the epoch, or "none"; how many first bytes the earlier reading knew of each file.
# One line a file: inode, size, time of change, whether it is current, bytes of a last line without an end,
# LENGTH:CHECKSUM of its first bytes, name. Of packed files only those changed since are opened.
# Links are followed, each file is listed once. What is no log by its name or its kind is only named, in a section
# of its own; of a name with control characters only that it is there.
token=$1 directory=$2 pattern=$3 since=$4
shift 4

as_root() {
  if [ "$uid" = 0 ] || [ -n "$readable" ]; then "$@"; else sudo -n -- "$@"; fi
}

content() {
  case $1 in
    *.gz) as_root gzip -dc -- "$directory/$1" ;;
    *.bz2) as_root bzip2 -dc -- "$directory/$1" ;;
    *.xz) as_root xz -dc -- "$directory/$1" ;;
    *.zst) as_root zstd -dcq -- "$directory/$1" ;;
    *) as_root cat -- "$directory/$1" ;;
  esac 2>/dev/null
}

# The sum of the first 1024 bytes, which tell a file from others; a shorter file is told by all it has.
heads() {
  for length in 1024 "$@"; do
    content "$name" | head -c "$length" | cksum | {
      read -r total count
      printf '%s:%s ' "$count" "$total"
    }
  done
}

unended() {
  [ "$size" -gt 0 ] || { echo 0; return; }
  from=$((size > 65536 ? size - 65535 : 1))
  if [ "$(as_root tail -c "+$from" -- "$directory/$name" | head -c "$((size - from + 1))" | tail -c 1 | wc -l)" = 1 ]; then
    echo 0
  else
    as_root tail -c "+$from" -- "$directory/$name" | head -c "$((size - from + 1))" | tail -n 1 | wc -c
  fi
}

look() {
  section now
  date +%s.%N
  is_directory_there "$directory" || return 0
  section left_out
  LC_ALL=C find -L "$directory"/ -mindepth 1 -maxdepth 1 ! \( -type f ! -name "*[[:cntrl:]]*" \
    \( -name "$pattern" -o -name "$pattern.*" -o -name "$pattern-*" \) \) \
    \( -name "*[[:cntrl:]]*" -printf '%Y\ta name with a control character, inode %i\n' -o -printf '%Y\t%f\n' \) \
    2>/dev/null | head -n 200
  section files
  listed=$(LC_ALL=C find -L "$directory"/ -mindepth 1 -maxdepth 1 -type f ! -name "*[[:cntrl:]]*" \
    \( -name "$pattern" -o -name "$pattern.*" -o -name "$pattern-*" \) -printf '%i\t%s\t%T@\t%f\n')
  code=$?
  if [ "$code" -ne 0 ]; then
    printf 'exit %s\n' "$code"
    return
  fi
  printf '%s\n' "$listed" | sort -t "$tab" -k 4 | awk -F "$tab" '!seen[$1]++' | head -n 500 | while IFS="$tab" read -r inode size modified name; do
    [ -n "$name" ] || continue
    readable=''
    [ -r "$directory/$name" ] && readable=yes
    current=0
    case $name in $pattern) current=1 ;; esac
    case $name in
      *.gz | *.bz2 | *.xz | *.zst)
        current=0 rest=0 sums=''
        if [ "$since" != none ] && awk "BEGIN { exit !($modified >= $since) }"; then sums=$(heads "$@"); fi ;;
      *) rest=$(unended) sums=$(heads "$@") ;;
    esac
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$inode" "$size" "$modified" "$current" "$((rest))" "${sums:- }" "$name"
  done
  echo 'exit 0'
}

look "$@" </dev/null
