# Gather the files of this server by which its services could be set up again: what compose was given, with the
# environment files beside it, the crontabs, PgBouncer's files. Changes nothing. Arguments: most bytes of a file, of all.
# Standard output: "left out" lines, then one archive in base64 behind a marked line.
most=$1 most_of_all=$2
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
{
  # Where compose was called, as docker knows it, and where the guide has it.
  if command -v docker >/dev/null 2>&1; then
    timeout 15 docker ps -aq 2>/dev/null | xargs -r timeout 15 docker inspect \
      --format '{{index .Config.Labels "com.docker.compose.project.config_files"}},{{index .Config.Labels "com.docker.compose.project.working_dir"}}' 2>/dev/null |
      tr ',' '\n'
  fi
  ls -d /opt/* 2>/dev/null
} | sort -u | while IFS= read -r path; do
  [ -f "$path" ] && printf '%s\n' "$path"
  [ -d "$path" ] && find -L "$path" -maxdepth 1 -type f \
    \( -name '*compose*.yml' -o -name '*compose*.yaml' -o -name '.env*' -o -name '*.env' \) -print
done >"$place/found"
for path in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/* /etc/pgbouncer/*.ini /etc/pgbouncer/*.txt; do
  [ -f "$path" ] && printf '%s\n' "$path"
done >>"$place/found"
sum=0
sort -u "$place/found" | while IFS= read -r path; do
  bytes=$(stat -L -c %s -- "$path") || continue
  sum=$((sum + bytes))
  if [ ! -r "$path" ]; then printf 'left out %s: Permission denied\n' "$path"
  elif [ "$bytes" -gt "$most" ] || [ "$sum" -gt "$most_of_all" ]; then printf 'left out %s: %s bytes\n' "$path" "$bytes"
  else printf '%s\n' "$path" >>"$place/taken"
  fi
done
echo 'samaops-files: archive'
[ -s "$place/taken" ] || exit 0
tar --create --dereference --file=- --directory=/ --absolute-names --ignore-failed-read --verbatim-files-from \
  --files-from="$place/taken" 2>/dev/null | gzip -6 | base64 -w 0
