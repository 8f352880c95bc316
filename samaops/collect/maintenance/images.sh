# List the images of a Docker engine, and which of them containers use. Changes nothing.
# Arguments: a token that starts each section; seconds for each docker command.
token=$1 seconds=$2
uid=$(id -u)
docker="timeout -k 1 $seconds docker"

as_root() {
  if [ "$uid" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

section() { printf '\n@@%s %s\n' "$token" "$1"; }

format='{"id":{{json .Id}},"tags":{{json .RepoTags}},"digests":{{json .RepoDigests}},"created":{{json .Created}}'
format=$format',"tagged":{{json .Metadata.LastTagTime}},"size":{{json .Size}}}'

look() {
  section now
  date +%s.%N
  section containers
  if ! command -v docker >/dev/null 2>&1; then
    printf 'docker: command not found\nexit 127\n'
    return
  fi
  # running, stopped, created: the image of each is in use
  ids=$($docker ps -a -q --no-trunc 2>&1)
  code=$?
  case $uid:$code:$ids in
    0:* | *:0:*) ;;
    *'ermission denied while trying to connect'*)
      if as_admin=$(sudo -n -- $docker ps -a -q --no-trunc 2>/dev/null); then
        docker="sudo -n -- $docker" ids=$as_admin code=0
      fi ;;
  esac
  [ "$code" = 0 ] || { printf '%s\nexit %s\n' "$ids" "$code"; return; }
  printf '%s\n' "$ids" | xargs -r -n 200 $docker inspect --type container --format '{{.Image}}' 2>&1
  printf 'exit %s\n' $?
  section images
  listed=$($docker images -q --no-trunc 2>&1) || { printf '%s\nexit 1\n' "$listed"; return; }
  printf '%s\n' "$listed" | sort -u | xargs -r -n 200 $docker image inspect --format "$format" 2>&1
  printf 'exit %s\n' $?
  section arrived
  # of an image that was pulled docker says nothing of when: its own file does
  as_root find "$($docker info --format '{{.DockerRootDir}}' 2>/dev/null)"/image/*/imagedb/content/sha256 \
    -maxdepth 1 -type f -printf '%f %T@\n' 2>/dev/null
  section disk
  $docker system df --format '{{json .}}' 2>&1
  printf 'exit %s\n' $?
}

look </dev/null
