# Read what the running containers of one Docker engine use now, once. Changes nothing, writes nothing.
# Arguments: a token that starts each section; seconds for each docker command.
token=$1 seconds=$2

look() {
  section stats
  has_docker || { echo 'exit 127'; return; }
  ask stats --no-stream --no-trunc --format '{{json .}}'
  printf '%s\n' "$answer"
  printf 'exit %s\n' "$code"
}

look </dev/null
