# Stands before each script that looks at a server; its arguments are that script's own, the first of them in $token.
# What a command says on stderr is no answer: it goes to a section of the same name there, for the reason of a failure.
section() {
  printf '\n@@%s %s\n' "$token" "$1"
  printf '\n@@%s %s\n' "$token" "$1" >&2
}

