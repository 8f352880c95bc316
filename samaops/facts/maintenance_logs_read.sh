# Count the ERROR and CRITICAL lines in parts of log files, and the messages that repeat. Changes nothing.
# Arguments: a token that starts each section; the directory; seconds for all of it; then for each part the file's
# name, its inode, the byte it begins after and the one it ends with (0: the end, of a packed file).
# Lines are found by grep at the speed of memory; only what it found is normalised: each of the first 50 000 lines
# of a file, then one of 97. Messages lose their time, numbers and ids.
token=$1 directory=$2 seconds=$3
shift 3
uid=$(id -u)
ends_at=$(($(date +%s) + seconds))

section() { printf '\n@@%s %s\n' "$token" "$1"; }

count='
function normal(line,   out, word, size) {
  if (match(line, /ERROR|CRITICAL/)) line = substr(line, RSTART, 300)
  out = ""
  while (match(line, /[0-9A-Za-z_-]*[0-9][0-9A-Za-z_-]*/)) {
    size = RLENGTH
    word = substr(line, RSTART, size)
    out = out substr(line, 1, RSTART - 1)
    line = substr(line, RSTART + size)
    if (size >= 16 || word ~ /^[0-9a-fA-F-]+$/) word = "#"
    else gsub(/[0-9]+/, "#", word)
    out = out word
  }
  return out line
}
{
  total++
  if (index($0, "CRITICAL")) criticals++
  weight = 1
  if (total > 50000) { if (total % 97) next; weight = 97 }
  text = normal($0)
  if (!(text in counts)) { if (kinds >= 5000) next; kinds++ }
  counts[text] += weight
}
END {
  printf "errors %d\ncriticals %d\nsampled %d\n", total - criticals, criticals, total > 50000
  for (text in counts) printf "message %d %s\n", counts[text], text | "sort -k 2,2nr | head -n 50"
}'

# Run by a shell of its own, so that a time limit ends all of it.
read_part='
path=$1 from=$2 to=$3 count=$4
ulimit -v 2000000 2>/dev/null
content() {
  case $path in
    *.gz) gzip -dc -- "$path" | tail -c "+$((from + 1))" ;;
    *.bz2) bzip2 -dc -- "$path" | tail -c "+$((from + 1))" ;;
    *.xz) xz -dc -- "$path" | tail -c "+$((from + 1))" ;;
    *.zst) zstd -dcq -- "$path" | tail -c "+$((from + 1))" ;;
    *) tail -c "+$((from + 1))" -- "$path" | head -c "$((to - from))" ;;
  esac
}
content | { grep -aF -e ERROR -e CRITICAL; [ "$?" -lt 2 ] || echo "grep failed" >&2; } | awk "$count"
'

look() {
  number=0
  while [ "$#" -ge 4 ]; do
    name=$1 inode=$2 from=$3 to=$4
    shift 4
    section "file $number"
    number=$((number + 1))
    as_root=''
    [ "$uid" = 0 ] || [ -r "$directory/$name" ] || as_root='sudo -n --'
    left=$((ends_at - $(date +%s)))
    if [ "$(stat -c %i -- "$directory/$name" 2>/dev/null)" != "$inode" ]; then
      echo 'it was renamed while it was read'
    elif [ "$left" -le 0 ]; then
      echo 'not read in time'
    else
      $as_root env LC_ALL=C nice -n 10 timeout -k 1 "$left" \
        sh -c "$read_part" sh "$directory/$name" "$from" "$to" "$count" 2>&1 | cut -c 1-400
      # the time is over, or nearly: what was counted is not all of it
      [ "$(date +%s)" -lt "$ends_at" ] || echo 'not read in time'
    fi
  done
}

look "$@" </dev/null
