# List the backups in a directory. Changes nothing. Arguments: a token, the directory, the pattern of names.
token=$1 directory=$2 pattern=$3
# What a command says on stderr is no answer: it goes to a section of the same name there, for the reason of a failure.
section() {
  printf '\n@@%s %s\n' "$token" "$1"
  printf '\n@@%s %s\n' "$token" "$1" >&2
}

section now
date +%s
section directory
if [ ! -e "$directory" ]; then
  # stat tells a directory that is not there from one behind a closed door
  stat -- "$directory" >/dev/null
  echo absent
  exit 0
fi
echo exists
section files
timeout -k 1 5 find "$directory" -maxdepth 1 -type f \( -name "$pattern" -o -name '*.tmp' -o -name '*.partial' \) \
  -printf '%s\t%T@\t%f\n'
printf 'exit %s\n' $?
