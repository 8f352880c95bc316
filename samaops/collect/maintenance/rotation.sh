# List the logs of a directory that are not compressed, and who has each open for writing. Changes nothing of them.
# Arguments: a token that starts each section; the directory; the pattern of names.
# Files: inode, size, time of change, whether it is current, name. Writers: inode, process, whether it appends, its name.
token=$1 directory=$2 pattern=$3

# Who has any of the files open, of all processes: the links of /proc lead to the very file, also out of a container.
writers='
find -L /proc/[0-9]*/fd -maxdepth 1 -type f -printf "%D:%i %p\n" 2>/dev/null | while read -r found path; do
  case $wanted in *" $found "*) ;; *) continue ;; esac
  process=${path#/proc/} process=${process%%/*}
  flags=$(awk "/^flags:/ { print \$2 }" "/proc/$process/fdinfo/${path##*/}" 2>/dev/null)
  case $flags in *[123567]) ;; *) continue ;; esac
  appends=0
  case $flags in *[2367]???) appends=1 ;; esac
  printf "%s\t%s\t%s\t%s\n" "${found#*:}" "$process" "$appends" "$(head -n 1 "/proc/$process/comm" 2>/dev/null)"
done'

look() {
  section now
  date +%s.%N
  is_directory_there "$directory" || return 0
  section file_system
  stat -L -f -c '%S' -- "$directory"
  { timeout -k 1 3 findmnt -n -o FSTYPE -T "$directory" 2>/dev/null || stat -L -f -c '%T' -- "$directory"; } | head -n 1
  command -v fallocate
  section files
  listed=$(LC_ALL=C as_root find -L "$directory"/ -mindepth 1 -maxdepth 1 -type f ! -name "*[[:cntrl:]]*" \
    \( -name "$pattern" -o -name "$pattern.*" -o -name "$pattern-*" \) \
    ! -name '*.gz' ! -name '*.bz2' ! -name '*.xz' ! -name '*.zst' ! -name '*.partial' \
    -printf '%D:%i\t%s\t%T@\t%f\n')
  code=$?
  if [ "$code" -ne 0 ]; then
    printf 'exit %s\n' "$code"
    return
  fi
  listed=$(printf '%s\n' "$listed" | sort -t "$tab" -k 4 | awk -F "$tab" 'NF && !seen[$1]++' | head -n 500)
  printf '%s\n' "$listed" | while IFS="$tab" read -r place size modified name; do
    [ -n "$name" ] || continue
    current=0
    case $name in $pattern) current=1 ;; esac
    printf '%s\t%s\t%s\t%s\t%s\n' "${place#*:}" "$size" "$modified" "$current" "$name"
  done
  echo 'exit 0'
  section writers
  wanted=" $(printf '%s\n' "$listed" | cut -f 1 | tr '\n' ' ') "
  as_root env wanted="$wanted" timeout -k 1 15 sh -c "$writers"
  printf 'exit %s\n' "$?"
}

look "$@" </dev/null
