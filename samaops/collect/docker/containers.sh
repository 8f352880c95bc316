# Read what samaops wants to know of one Docker engine, in one go. Changes nothing, writes nothing.
# Arguments: a token that starts each section; what else to look at ("files", "disk", "logs", or "-"); seconds for
# each docker command. A container's environment holds secrets: nothing of it is kept but digests (definition.py).
token=$1 costly=$2 seconds=$3

as_root() {
  if [ "$uid" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

# What every container is asked for; one JSON document per line.
format='{"id":{{json .Id}},"name":{{json .Name}},"image":{{json .Config.Image}},"image_id":{{json .Image}}'
format=$format',"state":{{json .State}},"restart_count":{{json .RestartCount}}'
format=$format',"restart_policy":{{json .HostConfig.RestartPolicy.Name}},"memory_limit":{{json .HostConfig.Memory}}'
format=$format',"log_path":{{json .LogPath}},"log_driver":{{json .HostConfig.LogConfig.Type}}'
format=$format',"log_options":{{json .HostConfig.LogConfig.Config}}'
format=$format',"service":{{json (index .Config.Labels "com.docker.compose.service")}}'
format=$format',"project":{{json (index .Config.Labels "com.docker.compose.project")}}'
format=$format',"number":{{json (index .Config.Labels "com.docker.compose.container-number")}}'
format=$format',"oneoff":{{json (index .Config.Labels "com.docker.compose.oneoff")}}'
format=$format',"compose_directory":{{json (index .Config.Labels "com.docker.compose.project.working_dir")}}'
format=$format',"compose_files":{{json (index .Config.Labels "com.docker.compose.project.config_files")}}'
format=$format',"created":{{json .Created}},"labels":{{json .Config.Labels}},"environment":{{json .Config.Env}}'
format=$format',"command":{{json .Config.Cmd}},"entrypoint":{{json .Config.Entrypoint}},"user":{{json .Config.User}}'
format=$format',"mounts":{{json .Mounts}},"network":{{json .HostConfig.NetworkMode}}'
format=$format',"hosts":{{json .HostConfig.ExtraHosts}},"ports":{{json .HostConfig.PortBindings}}}'

containers() {
  section ps
  has_docker || { echo 'exit 127'; return 1; }
  ask ps -a -q --no-trunc
  ids=$answer
  printf 'exit %s\n' "$code"
  printf '%s\n' "$ids"
  [ "$code" = 0 ] || return 1
  section inspect
  # A container that ends between the two commands is an error for docker, which prints the others all the same.
  inspected=$(printf '%s\n' "$ids" | xargs -r -n 200 $docker inspect --format "$format" 2>/dev/null)
  printf '%s\n' "$inspected"
}

disk() {
  section disk
  $docker system df --format '{{json .}}'
  printf 'exit %s\n' $?
}

# Sizes of the containers' logs, rotated ones too.
logs() {
  section logs
  printf '%s\n' "$inspected" | sed -n 's|.*"log_path":"\([^"]*\)/[^/"]*".*|\1|p' |
    as_root timeout -k 1 2 xargs -r -d '\n' sh -c 'find "$@" -maxdepth 1 -name "*-json.log*" -printf "%s\t%h\n"' sh
  printf 'exit %s\n' $?
}

# The compose files that containers were created from and the environment files beside them: time and digest of each.
files() {
  section files
  {
    printf '%s\n' "$inspected" | sed -n 's|.*"compose_files":"\([^"]*\)".*|\1|p' | tr ',' '\n'
    printf '%s\n' "$inspected" | sed -n 's|.*"compose_directory":"\([^"]*\)".*|\1|p'
  } | sort -u | head -n 40 | as_root timeout -k 1 2 xargs -r -d '\n' sh -c '
    find "$@" -maxdepth 1 -type f \( -name ".env*" -o -name "*.yml" -o -name "*.yaml" \) -size -1000k \
      -printf "%T@ %p\n" -exec sha256sum {} +' sh 2>/dev/null
  printf 'exit %s\n' $?
}

look() {
  section machine
  date +%s
  awk '/^MemTotal:/ { print $2 }' /proc/meminfo
  containers || return
  # What may be slow comes last and may be cut: the containers are printed by then.
  case $costly in *files*) files ;; esac
  case $costly in *logs*) logs ;; esac
  case $costly in *disk*) disk ;; esac
}

look </dev/null
