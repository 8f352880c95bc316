# List the images of a Docker engine, and which of them containers use. Changes nothing.
# Arguments: a token that starts each section; seconds for each docker command.
token=$1 seconds=$2

format='{"id":{{json .Id}},"tags":{{json .RepoTags}},"digests":{{json .RepoDigests}},"created":{{json .Created}}'
format=$format',"tagged":{{json .Metadata.LastTagTime}},"size":{{json .Size}}}'

look() {
  section now
  date +%s.%N
  section containers
  has_docker || { echo 'exit 127'; return; }
  # running, stopped, created: the image of each is in use
  ask ps -a -q --no-trunc
  [ "$code" = 0 ] || { printf 'exit %s\n' "$code"; return; }
  printf '%s\n' "$answer" | xargs -r -n 200 $docker inspect --type container --format '{{.Image}}'
  printf 'exit %s\n' $?
  section images
  listed=$($docker images -q --no-trunc) || { echo 'exit 1'; return; }
  printf '%s\n' "$listed" | sort -u | xargs -r -n 200 $docker image inspect --format "$format"
  printf 'exit %s\n' $?
  section arrived
  # of an image that was pulled docker says nothing of when: its own file does
  as_root find "$($docker info --format '{{.DockerRootDir}}' 2>/dev/null)"/image/*/imagedb/content/sha256 \
    -maxdepth 1 -type f -printf '%f %T@\n' 2>/dev/null
  section disk
  $docker system df --format '{{json .}}'
  printf 'exit %s\n' $?
}

look </dev/null
