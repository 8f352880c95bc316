# Stands before each script that looks at a server; its arguments are that script's own, the first of them in $token.
uid=$(id -u)
tab=$(printf '\t')

# What a command says on stderr is no answer: it goes to a section of the same name there, for the reason of a failure.
section() {
  printf '\n@@%s %s\n' "$token" "$1"
  printf '\n@@%s %s\n' "$token" "$1" >&2
}

as_root() {
  if [ "$uid" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

# In a section of its own, whether a directory is there; it is not, as far as we know, where that is no answer in time.
is_directory_there() {
  section directory
  timeout -k 1 3 stat -L -- "$1" >/dev/null
  code=$?
  if [ "$code" -eq 0 ]; then
    echo exists
    return
  fi
  [ "$code" -lt 124 ] || echo 'no answer in time' >&2
  echo absent
  return 1
}
