# Count the ERROR and CRITICAL lines in parts of log files, and the messages that repeat. Changes nothing.
# Arguments: a token that starts each section; the directory; seconds for all of it; then for each part the file's
# name, its inode, the byte it begins after and the one it ends with (0: the end, of a packed file).
# What may be an error is found by grep at nearly the speed of memory; only that is looked at for its level, by
# $levels (logs_levels.awk), and normalised: each of the first 20 000 lines of a file, then one of 97. Messages lose
# their time, numbers and ids; "sampled" counts for 97.
token=$1 directory=$2 seconds=$3
shift 3
ends_at=$(($(date +%s) + seconds))

# grep says where each line begins: what was written behind the end belongs to the next reading.
count='
BEGIN { begin_levels() }
{
  at = index($0, ":")
  if (limit > 0 && substr($0, 1, at - 1) + 0 >= limit) next
  class = level(substr($0, at + 1, 16000))
  if (class < 1) next
  total++
  if (class == 2) criticals++
  if (total <= 20000) print "message " substr(shown, 1, 600) | ENVIRON["normalise"]
  else if (total % 97 == 0) print "sampled " substr(shown, 1, 600) | ENVIRON["normalise"]
}
END { printf "errors %d\ncriticals %d\n", total - criticals, criticals }'

# The order matters: long ids first, then what is left of numbers.
normalise="sed -E -e 's/[0-9A-Fa-f]{8}-[0-9A-Fa-f-]{27}/#/g' -e 's/\\b[0-9A-Fa-f]{8,}\\b/#/g' -e 's/[0-9]+/#/g' \
-e 's/[A-Za-z_#-]*#[A-Za-z_#-]{24,}/#/g' | cut -c 1-300 | sort | uniq -c | sort -rn | head -n 60"

# Whole words that may be a level, numbers in the place of one, and what Redis says.
words='crit|critical|critique|fatal|panic|emerg|emergency|alert|err|error|severe|erreur|grave|fehler|fail'
numbers='([0-3]|1[7-9]|2[0-4]|[45]0|60|[4-6][0-9][0-9]|[45]0000)'
candidates="(^|[^a-z_])($words)([^a-z_]|\$)|\"(level|levelno|severity|severity_?number|level_value|priority)\" *: *\"?$numbers[^0-9]"
candidates="$candidates|\"s\": *\"[ef]\"|(level|lvl|severity)=\"?[456]0|^<[0-9]+>|^[ef][0-9]{4} |\\[[0-9]*m(err|crit|fatal)"
candidates="$candidates|no space|cannot alloc|out of mem|misconf| # (error|failed|can|unable|could|fatal|guru|=== )"

# Run by a shell of its own, so that a time limit ends all of it.
read_part='
path=$1 from=$2 to=$3 count=$4 normalise=$5 candidates=$6
export normalise
ulimit -v 2000000 2>/dev/null
exec 3>&1
# A program that did not read all says so in a line of its own; 141 is one whose reader had enough, and gzip warns by 2.
ended() {
  case $1:$2 in *:0 | *:141 | gzip:2 | grep:1) ;; *) echo "failed: $1, exit code $2" >&3 ;; esac
}
found() {
  grep -abiE "$candidates"
  ended grep "$?"
}
packed() {
  { "$@" "$path"; ended "$1" "$?"; } | tail -c "+$((from + 1))" | found
}
limit=0
# Who truncates a log that its writer goes on writing at the old place leaves a hole: one line of zeros.
has_hole() {
  stat -L -c "%b %B %s" -- "$path" | { read -r blocks unit size; [ $((blocks * unit * 2)) -lt "$size" ]; }
}
case $path in
  *.gz) packed gzip -dc -- ;;
  *.bz2) packed bzip2 -dc -- ;;
  *.xz) packed xz -dc -- ;;
  *.zst) packed zstd -dcq -- ;;
  *)
    if has_hole; then
      { tail -c "+$((from + 1))" -- "$path"; ended tail "$?"; } | head -c "$((to - from))" | tr -d "\000" | found
    else
      # no pipe: dd moves to the first byte, and grep reads the file itself from there
      { dd bs=1 skip="$from" count=0 2>/dev/null; found; } <"$path" || ended open 1
    fi ;;
esac | tr "\000" " " | awk -v limit="$((to > 0 ? to - from : 0))" "$count"
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
    if [ "$(stat -L -c %i -- "$directory/$name" 2>/dev/null)" != "$inode" ]; then
      echo 'it was renamed while it was read'
    elif [ "$left" -le 0 ]; then
      echo 'not read in time'
    else
      $as_root env LC_ALL=C nice -n 10 timeout -k 1 "$left" \
        sh -c "$read_part" sh "$directory/$name" "$from" "$to" "$levels$count" "$normalise" "$candidates"
      code=$?
      [ "$code" -lt 124 ] || echo 'not read in time'
    fi
  done
}

look "$@" </dev/null
