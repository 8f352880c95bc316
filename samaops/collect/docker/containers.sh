# Read what samaops wants to know of one Docker engine, in one go. Changes nothing, writes nothing.
# Arguments: a token that starts each section; what else to look at ("files", "disk", "logs", "inside", or "-"); seconds
# for each docker command. A container's environment holds secrets: nothing of it is kept but digests.
token=$1 costly=$2 seconds=$3

# What every container is asked for; one JSON document per line. What `inside` needs stands first.
format='{"id":{{json .Id}},"pid":{{json .State.Pid}},"log_path":{{json .LogPath}},"hosts_path":{{json .HostsPath}}'
format=$format',"name":{{json .Name}},"image":{{json .Config.Image}},"image_id":{{json .Image}}'
format=$format',"state":{{json .State}},"restart_count":{{json .RestartCount}}'
format=$format',"restart_policy":{{json .HostConfig.RestartPolicy.Name}},"memory_limit":{{json .HostConfig.Memory}}'
format=$format',"memory_swap":{{json .HostConfig.MemorySwap}}'
format=$format',"log_driver":{{json .HostConfig.LogConfig.Type}}'
format=$format',"log_options":{{json .HostConfig.LogConfig.Config}}'
format=$format',"service":{{json (index .Config.Labels "com.docker.compose.service")}}'
format=$format',"project":{{json (index .Config.Labels "com.docker.compose.project")}}'
format=$format',"number":{{json (index .Config.Labels "com.docker.compose.container-number")}}'
format=$format',"oneoff":{{json (index .Config.Labels "com.docker.compose.oneoff")}}'
format=$format',"compose_directory":{{json (index .Config.Labels "com.docker.compose.project.working_dir")}}'
format=$format',"compose_files":{{json (index .Config.Labels "com.docker.compose.project.config_files")}}'
format=$format',"created":{{json .Created}},"labels":{{json .Config.Labels}}'
format=$format',"command":{{json .Config.Cmd}},"entrypoint":{{json .Config.Entrypoint}},"user":{{json .Config.User}}'
format=$format',"mounts":{{json .Mounts}},"network":{{json .HostConfig.NetworkMode}}'
format=$format',"hosts":{{json .HostConfig.ExtraHosts}},"ports":{{json .HostConfig.PortBindings}}'
limits='"cpus":{{json .HostConfig.NanoCpus}},"quota":{{json .HostConfig.CpuQuota}},"period":{{json .HostConfig.CpuPeriod}}'
limits=$limits',"pids":{{json .HostConfig.PidsLimit}},"files":{{json .HostConfig.Ulimits}}'
format=$format',"limits":{'$limits'}'
# Last: `named_places` takes what follows for variables.
format=$format',"environment":{{json .Config.Env}}}'

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

# The last words of each container's log; its hosts file; whether the files that its environment names are in it, and
# whether it reaches the places that are named there. Docker itself would need 0.1 s for each container: what lies on
# this server is read here, and connections are tried in a container's network with this server's programs.
inside() {
  section inside
  as=as_root
  [ "$uid" = 0 ] || sudo -n -- env true 2>/dev/null || as=command
  printf '%s\n' "$inspected" | named_places | $as env LC_ALL=C timeout -k 1 4 sh -c "$read_inside" sh
  printf 'exit %s\n' $?
}

# What `inside` is told of each container: where its files are; the places and files that its environment names.
named_places() {
  LC_ALL=C awk -F '"' '
    {
      id = $4; is_environment = 0; pid = $7; gsub(/[^0-9]/, "", pid); print "container", id, pid, $10 ? $10 : "-", $14 ? $14 : "-"
      for (i = 15; i <= NF; i++) {
        if ($i == "environment") is_environment = 1
        if (!is_environment || !index($i, "=")) continue
        name = value = $i; sub(/=.*/, "", name); sub(/^[^=]*=/, "", value); port = ""
        if (value ~ /^postgres[a-z0-9+]*:\/\//) port = 5432
        else if (value ~ /^rediss?:\/\//) port = 6379
        else if (value ~ /^amqps?:\/\//) port = 5672
        else if (tolower(name) ~ /^https?_proxy$/ && value ~ /^https?:\/\//) port = 8080
        else if (name ~ /ENDPOINT$/) port = 9000
        if (port) {
          sub(/^[a-z0-9+]*:\/\//, "", value); sub(/^[^\/]*@/, "", value); sub(/[\/?#].*/, "", value)
          if (value ~ /^[A-Za-z0-9_.-]+$/) value = value ":" port
          if (value ~ /^[A-Za-z0-9_.-]+:[0-9]+$/ && !seen[id, value]++) { sub(/:/, " ", value); print "place", id, value }
        } else if (value ~ /^\/[^ ]+$/ && name ~ /(CA_BUNDLE|CERT_FILE|CERT_DIR|CA_CERTS|SSLROOTCERT|CREDENTIALS.*)$/)
          print "file", id, name, value
      }
    }'
}

# As root where that may be. Of each log: its last lines, and before them those of its last 64 kB with a telling word.
# Docker gives those that are no file, or not ours to read.
read_inside='
  words="error|exception|fatal|panic|critical|alarm|denied|refus|fail|cannot|can.t |unable|unknown|invalid|not found"
  words="$words|no space|memory|read-only|limit|too many|timed out|timeout|closing|killed|missing|no such|ready"
  words="$words|unavailable|bad gateway|connected|succeeded|erreur|chou|rejet|trop de|espace|lecture seule|corromp|introuvable|existe pas"
  all=$(cat) hosts="" namespaces="" others=""
  while read -r word id pid log hosts_file; do
    [ "$word" = container ] || continue
    if [ -r "$log" ]; then set -- "$@" "$log"; else others="$others $id"; fi
    [ -r "$hosts_file" ] && hosts="$hosts $hosts_file"
    [ "$pid" = 0 ] || namespaces="$namespaces /proc/$pid/ns/net"
  done <<END
$all
END
  [ $# = 0 ] || tail -v -c 65536 -- "$@" | awk -v words="$words" "
    function flush() {
      for (i = hits > 30 ? hits - 29 : 1; i <= hits; i++) if (at[i % 30] <= lines - 10) print \"log\", hit[i % 30]
      for (i = lines > 10 ? lines - 9 : 1; i <= lines; i++) print \"log\", last[i % 10]
      hits = lines = 0
    }
    /^==> .* <==\$/ { flush(); print \"source\", \$2; next }
    \$0 != \"\" { last[++lines % 10] = \$0; if (tolower(\$0) ~ words) { hit[++hits % 30] = \$0; at[hits % 30] = lines } }
    END { flush() }"
  for id in $others; do
    echo "source $id"
    timeout 2 docker logs -t --tail 40 "$id" 2>&1 </dev/null | sed "s/^/plain /"
  done
  [ -z "$hosts" ] || grep -H "^[0-9a-fA-F]" $hosts /dev/null | sed "s/^/hosts /"
  [ -z "$namespaces" ] || stat -L -c "network %n %i" $namespaces 2>/dev/null
  while read -r word id first second rest; do
    case $word in
      container) pid=$first hosts_file=$rest ;;
      file)
        path=/proc/$pid/root$second
        case $first in *_DIR) kind=-d ;; *) kind=-f ;; esac
        # Last: of a container that has ended meanwhile, or that may not be looked into, nothing is absent.
        [ "$pid" = 0 ] || [ $kind "$path" ] || [ -L "$path" ] || [ ! -d "/proc/$pid/root/." ] ||
          if [ -d "$path" ]; then echo "absent $id $first/"; else echo "absent $id $first"; fi ;;
      place)
        address=$first
        case $address in *[!0-9.]*)
          address=$(awk -v name="$first" "{ for (i = 2; i <= NF; i++) if (\$i == name) { print \$1; exit } }" "$hosts_file")
          if [ -z "$address" ] && [ "$pid" != 0 ]; then
            address=$(timeout 2 docker exec "$id" getent hosts "$first" 2>/dev/null </dev/null)
            case $? in 0 | 2) ;; *) address=? ;; esac # 2: there is no such name; else nobody could look it up
          fi
          address=${address%% *} ;;
        esac
        [ "$pid" = 0 ] || echo "place $id $pid $first $second $address" ;;
    esac
  done <<END
$all
END
'

# One connection to each place that is named in a network, side by side; dropped as soon as it is there.
ways() {
  section ways
  printf '%s\n' "$inside" | LC_ALL=C awk '
    $1 == "network" { split($2, path, "/"); network[path[3]] = $3 }
    $1 == "place" && $6 ~ /^[0-9.]+$/ { place[network[$3] " " $6 " " $5] = $3 }
    END { for (key in place) { split(key, part, " "); of[place[key]] = of[place[key]] " " part[1] " " part[2] " " part[3] }
          for (pid in of) print pid of[pid] }' |
    as_root env LC_ALL=C timeout -k 1 4 sh -c '
      command -v nsenter >/dev/null && command -v bash >/dev/null || { echo "nsenter, bash: not found" >&2; exit 127; }
      while read -r pid places; do
        {
          nsenter -t "$pid" -n timeout 2 bash -c "$1" bash $places </dev/null
          # Where the container ended meanwhile, it is not the places that gave no answer.
          [ -d "/proc/$pid/root/." ] || echo "gone $places"
        } &
      done
      wait' sh '
      while [ $# -gt 0 ]; do
        ( if answer=$(exec 2>&1 3<>"/dev/tcp/$2/$3"); then echo "way $1 $2 $3 open"; else echo "way $1 $2 $3 ${answer#*connect: }"; fi ) &
        shift 3
      done
      wait'
  printf 'exit %s\n' $?
}

look() {
  section machine
  date +%s
  awk '/^MemTotal:/ { print $2 }' /proc/meminfo
  containers || return
  # What may be slow comes last and may be cut: the containers are printed by then.
  [ -n "$inspected" ] && case $costly in *inside*)
    inside=$(inside)
    printf '%s\n' "$inside"
    ways ;;
  esac
  case $costly in *files*) files ;; esac
  case $costly in *logs*) logs ;; esac
  case $costly in *disk*) disk ;; esac
}

look </dev/null
