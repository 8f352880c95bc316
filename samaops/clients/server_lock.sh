# Hold a lock on this server for somebody who is elsewhere, as long as he is there; or look who holds it.
# Arguments: hold or look, the lock file, and after how many seconds without a word from him he is taken for gone.
# Standard input: a line with his name, then any line now and then. Standard output: one line for each, marked so
# that what a log-in prints of its own is not taken for an answer.
# The file is opened for reading alone: in a directory that anybody may write to, the kernel lets nobody, not even
# root, open another user's file in the way that would also create it. Nobody else gets descriptor 9, the lock.
file=$2 silence=$3
cannot() { printf 'samaops-lock: cannot %s\n' "$1" | head -n 1; exit 0; }
taken() { printf 'samaops-lock: taken '; head -c 4000 "$file" | tr -d '\n'; echo; exit 0; }
for program in flock timeout dd; do
  command -v "$program" >/dev/null 2>&1 || cannot "$program: not found"
done
said=
if [ ! -e "$file" ] && [ ! -L "$file" ]; then
  if [ "$1" = look ]; then
    [ -w "${file%/*}" ] || cannot "${file%/*}: not writable"
    exit 0
  fi
  said=$({ umask 0; set -C; : >"$file"; } 2>&1)
fi
[ -L "$file" ] && cannot "$file: a link"
[ -e "$file" ] && [ ! -f "$file" ] && cannot "$file: not a file"
[ -f "$file" ] || cannot "$file: ${said##*"$file: "}"
[ -r "$file" ] || cannot "$file: Permission denied"
exec 9<"$file"
if [ "$1" = look ]; then
  # Without a name in it nobody has it; a try would only keep off somebody who wants it.
  [ -s "$file" ] && ! flock -n -s 9 && taken
  exit 0
fi
tries=5
until flock -n 9; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || taken
  sleep 0.1
done
write() { dd of="$file" conv=nocreat 2>/dev/null 9<&-; }
# Somebody may have removed the file: then others lock another one.
is_ours() { [ "$file" -ef "/proc/$$/fd/9" ]; }
is_ours || cannot "$file: removed"
IFS= read -r owner || exit 1
printf '%s' "$owner" | write
echo samaops-lock: held
while timeout "$silence" sh -c 'IFS= read -r line' 9<&-; do
  is_ours || break
  echo samaops-lock: held
done
is_ours && write </dev/null
