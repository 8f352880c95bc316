# Have the application's migration tool write SQL, in a container of its own that reaches nothing: no network, and what
# the application's container has mounted is there to be read alone.
# Arguments: that container, the image, how many seconds it may take, the tool's command line, its words.
# Standard output: what the tool wrote. Nothing of the environment is.
container=$1 image=$2 seconds=$3 tool=$4
shift 4
umask 077
uid=$(id -u)
if docker ps -q >/dev/null 2>&1; then docker=docker; else docker='sudo -n -- docker'; fi
variables=$(mktemp) || exit 1
name=samaops-migration-$$
trap 'rm -f "$variables"; $docker rm -f "$name" >/dev/null 2>&1' EXIT
trap 'exit 1' HUP INT TERM PIPE
$docker container inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" >"$variables" || exit 1
place=$($docker container inspect --format '{{.Config.WorkingDir}}' "$container") || exit 1
set -f
timeout "$seconds" $docker run --rm --name "$name" --network none --volumes-from "$container:ro" \
  --workdir "${place:-/}" --env-file "$variables" --memory 1g --entrypoint '' "$image" $tool "$@"
