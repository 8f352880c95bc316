# List the backups in a directory. Changes nothing. Arguments: a token, the directory, the pattern of names.
# Links are followed: a directory that was moved to another disk is often a link there, and so may be each backup.
token=$1 directory=$2 pattern=$3
section now
date +%s
section directory
# stat tells a directory that is not there from one behind a closed door; what is mounted there may not answer
if LC_ALL=C timeout -k 1 3 stat -L -- "$directory" >/dev/null; then
  echo exists
else
  code=$?
  case $code in 124 | 137) echo hung ;; *) echo absent ;; esac
fi
timeout -k 1 1 readlink -m -- "$directory"
[ "${code:-0}" = 0 ] || exit 0
section files
# Of a name with a line break only that it is there is told.
break='
'
timeout -k 1 5 find -L "$directory" -mindepth 1 -maxdepth 1 \
  \( -name "$pattern" -o -name '*.tmp' -o -name '*.partial' \) \
  \( -name "*$break*" -printf '?\t0\t0\t%D:%i\ta name with a line break, inode %i\n' \
  -o -printf '%Y\t%s\t%T@\t%D:%i\t%f\n' \)
printf 'exit %s\n' $?
section ends
# The first bytes and the last of the newest: an archive of pg_dump tells by them whether it was written to its end.
timeout -k 1 3 find -L "$directory" -mindepth 1 -maxdepth 1 -type f -name "$pattern" ! -name "*$break*" \
  -printf '%T@\t%p\n' 2>/dev/null | sort -rn | head -n 3 | cut -f 2- | while IFS= read -r file; do
  first=$(timeout -k 1 1 head -c 11 -- "$file" 2>/dev/null | od -An -v -tx1 | tr -d ' \n')
  last=$(timeout -k 1 1 tail -c 5 -- "$file" 2>/dev/null | od -An -v -tx1 | tr -d ' \n')
  printf '%s\t%s\t%s\n' "$first" "$last" "${file##*/}"
done
