# Read the images of a Docker engine and what is recorded of the releases. Changes nothing.
# Arguments: a token that starts each section; seconds for each docker command; the directory of the records.
token=$1 seconds=$2 directory=$3
lock=/run/samaops-release.lock

format='{"id":{{json .Id}},"tags":{{json .RepoTags}},"created":{{json .Created}},"size":{{json .Size}}'
format=$format',"labels":{{json .Config.Labels}}}'

# The script of a distribution says its version; to run it takes half a second.
compose_1() {
  program=$(command -v docker-compose) || return
  grep -aohm1 "docker-compose==[0-9.]*" "$program" | head -n 1 | sed 's/.*==//' | grep . && return
  timeout -k 1 "$seconds" "$program" version --short 2>/dev/null
}

# Whether a container is being replaced: "yes", "no", or nothing where that cannot be seen. Who replaces one holds this lock
# (clients/release_keeper.sh), also when the samaops that began it is gone.
replacing() {
  [ -e "$lock" ] || { echo no; return; }
  ( flock -n -s 9; case $? in 0) echo no ;; 1) echo yes ;; esac ) 9<"$lock"
}

look() {
  section now
  date +%s.%N
  section engine
  has_docker || { echo 'exit 127'; return; }
  ask version --format '{{.Server.Version}}'
  printf '%s\nexit %s\n' "$answer" "$code"
  [ "$code" = 0 ] || return
  section compose
  $docker compose version --short 2>/dev/null || compose_1
  section replacing
  replacing
  section held
  $docker ps -a --no-trunc --filter name=samaops.keep- --format '{{.Names}}'
  printf 'exit %s\n' $?
  section images
  listed=$($docker images -q --no-trunc) || { echo 'exit 1'; return; }
  printf '%s\n' "$listed" | sort -u | xargs -r -n 200 $docker image inspect --format "$format"
  printf 'exit %s\n' $?
  section records
  [ -d "$directory" ] || { echo 'exit 0'; return; }
  find "$directory" -maxdepth 1 -type f -name '*.tar' -printf 'archive %f %s\n'
  find "$directory" -maxdepth 1 -type f -name '*.json' -size -2000k -printf '%T@ %f\n' | sort -rn | head -n 50 |
    while read -r at name; do
      printf 'record %s ' "$at"
      tr -d '\n' <"$directory/$name" && echo
    done
  printf 'exit %s\n' $?
}

look </dev/null
