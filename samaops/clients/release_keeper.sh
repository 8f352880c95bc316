# Keep the releases of a server, and make its containers of one of them.
# The first argument says what; the others are its own. Standard input: what is to be written. Standard output of `hold`:
# the directory of the migrations as a tar archive, in base64; one line "none" where the image has none.
# Why it failed stands on standard error: a marked line that names the reason and its words (release_keeper.py has the
# sentences), or what a program said.
what=$1
shift
uid=$(id -u)
fail() { printf 'samaops-release: %s\n' "$*" >&2; exit 1; }
as_root() { if [ "$uid" = 0 ]; then "$@"; else sudo -n -- "$@"; fi; }
if docker ps -q >/dev/null 2>&1; then docker=docker; else docker='as_root docker'; fi

# Bring an image back from its file where it is gone.
bring_back() {
  image=$1 tag=$2 file=$3
  if ! $docker image inspect "$image" >/dev/null 2>&1; then
    as_root test -s "$file" || fail gone "$image" "$file"
    as_root cat "$file" | $docker load -q >/dev/null || exit 1
    $docker image inspect "$image" >/dev/null 2>&1 || fail other "$image" "$file"
  fi
  $docker tag "$image" "$tag"
}

case $what in
  hold)
    image=$1 tag=$2 holder=$3 file=$4 migrations=$5 most=$6
    bring_back "$image" "$tag" "$file" || exit 1
    if ! $docker container inspect "$holder" >/dev/null 2>&1; then
      # It is never started: that it is there keeps `docker image prune -a` from its image.
      $docker create --name "$holder" --label "samaops.keep=$image" --network none --restart no "$tag" true >/dev/null || exit 1
    fi
    [ -n "$migrations" ] || { echo none; exit 0; }
    # Read as it lies there; nothing of the image is run.
    if said=$($docker cp "$holder:$migrations" - 2>&1 >/dev/null | head -c 500) && [ -n "$said" ]; then
      case $said in
        *'ould not find the file'* | *'o such file'* | *'o such container:path'*) echo none; exit 0 ;;
      esac
      printf '%s\n' "$said" >&2
      exit 1
    fi
    $docker cp "$holder:$migrations" - | head -c "$most" | base64 ;;
  write)
    directory=$1 name=$2 tag=$3 runs=$4
    as_root mkdir -p -m 755 "$directory" || exit 1
    partial=$directory/$name.partial
    as_root tee "$partial.json" >/dev/null || exit 1
    if ! as_root test -s "$directory/$name.tar"; then
      size=$($docker image inspect --format '{{.Size}}' "$tag") || exit 1
      free=$(df -P -B1 "$directory" | awk 'NR == 2 { print $4 }')
      [ "$free" -gt $((size + size / 5 + 100000000)) ] || fail room "$free" "$size" "$directory"
      as_root rm -f "$partial.failed"
      { nice $docker save "$tag" || as_root touch "$partial.failed"; } | gzip -1 | as_root tee "$partial" >/dev/null || exit 1
      as_root test ! -e "$partial.failed" || { as_root rm -f "$partial" "$partial.failed"; fail save "$tag"; }
      as_root gzip -t "$partial" || exit 1
      as_root sync "$partial"
      as_root mv "$partial" "$directory/$name.tar" || exit 1
    fi
    # What was written when it was first seen stays; its time says when it was last seen running.
    if as_root test -s "$directory/$name.json"; then
      as_root rm -f "$partial.json"
      [ "$runs" = no ] || as_root touch "$directory/$name.json"
    else
      as_root sync "$partial.json"
      as_root mv "$partial.json" "$directory/$name.json"
    fi ;;
  seen)
    for file; do as_root touch -c "$file" || exit 1; done ;;
  drop)
    tag=$1 holder=$2 file=$3
    if $docker container inspect "$holder" >/dev/null 2>&1; then $docker rm "$holder" >/dev/null || exit 1; fi
    if $docker image inspect "$tag" >/dev/null 2>&1; then $docker rmi "$tag" >/dev/null || exit 1; fi
    as_root rm -f "$file.tar" "$file.json" ;;
  recreate)
    image=$1 tag=$2 file=$3 project=$4 directory=$5 service=$6 seconds=$7
    shift 7
    bring_back "$image" "$tag" "$file" || exit 1
    if $docker compose version >/dev/null 2>&1; then compose="$docker compose"; else
      compose=docker-compose
      [ "$docker" = docker ] || compose='as_root docker-compose'
    fi
    place=$(as_root mktemp -d /run/samaops-release.XXXXXX) || exit 1
    # compose 1 wants all its files of one version.
    version=$(cd "$directory" && as_root grep -hm1 '^version:' "$1")
    printf '%s\nservices:\n  %s:\n    image: %s\n' "$version" "$service" "$tag" | as_root tee "$place/image.yml" >/dev/null
    as_root chmod 755 "$place"
    names=
    for name; do names="$names -f $name"; done
    # In a session of its own: what was begun is brought to its end, also when whoever asked for it is gone. So an
    # earlier one may still be at work: two at once break each other. File names with blanks are refused before.
    lock=/run/samaops-release.lock
    as_root touch "$lock" && as_root chmod 644 "$lock" || exit 1
    export docker uid compose project directory service seconds names place lock
    as_root_shell='as_root() { if [ "$uid" = 0 ]; then "$@"; else sudo -n -- "$@"; fi; }'
    setsid --wait sh -c "$as_root_shell"'
      cd "$directory" || exit 1
      exec 9<"$lock" || exit 1
      flock -w "$((seconds + 60))" 9 || { echo "samaops-release: busy" >"$place/said"; exit 1; }
      $compose -p "$project" --project-directory "$directory" $names -f "$place/image.yml" \
        up -d --no-deps --force-recreate -t "$seconds" "$service" >"$place/said" 2>&1
      echo $? >"$place/code"' </dev/null >/dev/null 2>&1
    code=$(cat "$place/code" 2>/dev/null || echo 1)
    [ "$code" = 0 ] || tail -n 3 "$place/said" >&2
    as_root rm -rf "$place"
    exit "$code" ;;
esac
