# The copy of the objects on the backup's server: what rclone brings, hashed, laid beside what was there before.
# Arguments: what to do, the directory, the words of that. It runs as PostgreSQL's user, who owns the directory.
# Standard input, where something is copied: the endpoint, the access key, the secret key (which stand nowhere else), how
# many names follow, and the names, bucket/key, each on a line. Fewer came: nothing is done.
# Standard output: marked lines, and where something is asked for, that: records end with a zero byte.
# current/BUCKET/KEY is the newest of each name, generations/ID/BUCKET/KEY what run ID replaced, objects/ID.jsonl.gz what was
# there as of run ID. odd/SUM is what has no name that a file could have. Nothing in here is ever deleted by a copy.
what=$1 directory=$2
shift 2
umask 077
LC_ALL=C
export LC_ALL
answer() { printf 'samaops-objects: %s\n' "$*"; exit 0; }
cannot() { answer "cannot $(printf '%s' "$*" | tr '\n' ' ' | head -c 300)"; }
# On another server, where copies of it are, there may be none: what lies there can be read and removed without.
case $what:${1-} in
  look:copy | list:* | scan:* | noted:* | remove:* | places:*) copier= ;;
  *) copier=rclone ;;
esac
for program in $copier sha256sum md5sum find sort comm xargs cp stat gzip flock df; do
  command -v "$program" >/dev/null 2>&1 || cannot "$program: not found"
done
if [ "$what" = look ]; then
  if [ ! -e "$directory" ]; then
    above=$directory
    until [ -e "$above" ]; do above=$(dirname "$above"); done
    printf 'absent\nfree %s\n' "$(df -B1 --output=avail "$above" | tail -n 1 | tr -d ' ')"
    answer done
  fi
  cd "$directory" 2>/dev/null || cannot "$directory: cannot be entered"
  [ -w . ] || cannot "$directory: not writable"
  printf 'free %s\n' "$(df -B1 --output=avail . | tail -n 1 | tr -d ' ')"
  # Newest last, so that what is read is bounded and still holds it.
  for file in $(ls runs 2>/dev/null | grep -E '^[0-9A-Za-z-]+\.json$' | sort | tail -n 400); do
    printf 'run '
    head -c 4000 "runs/$file" | tr -d '\n'
    echo
  done
  # Which backups lie beside it: each wants its list.
  [ "${1-}" != copy ] || for file in ../*/manifest.json; do
    [ ! -f "$file" ] || { file=${file#../} && printf 'backup %s\n' "${file%/manifest.json}"; }
  done
  exec 9<. && flock -n 9 || echo busy
  answer done
fi
cd "$directory" 2>/dev/null || cannot "$directory: cannot be entered"
[ -w . ] || cannot "$directory: not writable"
# One at a time, and gone with whoever has it; what an earlier one that was killed left is removed.
hold() {
  exec 9<.
  flock -n 9 || cannot 'another samaops works on this copy'
  rm -rf .work.*
  work=.work.$$
  mkdir "$work" || cannot "$directory: cannot be written to"
  trap 'rm -rf "$directory/$work"' EXIT
}
take_names() {
  IFS= read -r endpoint && IFS= read -r access && IFS= read -r secret && IFS= read -r count || cannot 'the input is not whole'
  cat >"$work/names" || cannot 'the list cannot be written'
  [ "$(wc -l <"$work/names")" = "$count" ] || cannot 'the input is not whole'
}
copy() {
  env -u AWS_CA_BUNDLE RCLONE_CONFIG=/dev/null RCLONE_CONFIG_SOURCE_TYPE=s3 RCLONE_CONFIG_SOURCE_PROVIDER=Minio \
    RCLONE_CONFIG_SOURCE_ENDPOINT="$endpoint" RCLONE_CONFIG_SOURCE_ACCESS_KEY_ID="$access" \
    RCLONE_CONFIG_SOURCE_SECRET_ACCESS_KEY="$secret" RCLONE_CONFIG_SOURCE_REGION=us-east-1 \
    RCLONE_CONFIG_SOURCE_FORCE_PATH_STYLE=true \
    nice -n 10 rclone copy "$@" --no-traverse --metadata --checkers 16 --transfers 8 --retries 2 --low-level-retries 3 \
    --contimeout 10s --timeout 60s --no-unicode-normalization --s3-upload-cutoff 5G --s3-no-check-bucket \
    --use-json-log --stats 2s --stats-log-level NOTICE 2>&1
  printf 'samaops-objects: ended %s\n' $?
}
sums() {
  tr '\n' '\0' <"$work/names" | (cd "$1" && xargs -0 -r "$2" -z -- 2>/dev/null) || :  # one that did not come has none
}
# Of names on the standard input, those that are files in a place: ended by a zero byte, in order.
present() {
  find "$1" ! -type d -printf '%P\0' | sort -z | comm -z -12 - "$2"
}
write_whole() {
  cat >"$1.partial" && sync "$1.partial" && mv -f "$1.partial" "$1"
}
settle() { sync -f . 2>/dev/null || sync; }
case $what in
  list)
    [ -f "objects/$1.jsonl.gz" ] || cannot "objects/$1.jsonl.gz: not there"
    gzip -dc "objects/$1.jsonl.gz" ;;
  scan)
    [ -d "$1" ] || exit 0
    find "$1" -type f -printf '%P\t%s\0' | sort -z ;;
  run)
    hold
    mkdir -p runs && write_whole "runs/$1.json" || cannot 'the row cannot be written'
    answer done ;;
  note)
    hold
    mkdir -p "${1%/*}" && write_whole "$1" || cannot 'it cannot be written'
    answer done ;;
  noted) [ ! -f "$1" ] || cat "$1" ;;
  fetch)
    # Into a place here; what an earlier run that was killed has brought is not brought again.
    hold
    take_names
    mkdir -p "$1"
    # To rclone an empty list is none: it would copy all.
    if [ "$count" = 0 ]; then printf 'samaops-objects: ended 0\n'; else copy source: "$1" --files-from-raw "$work/names"; fi
    tr '\n' '\0' <"$work/names" | sort -z >"$work/wanted"
    find "$1" ! -type d -printf '%P\0' | sort -z | comm -z -23 - "$work/wanted" | (cd "$1" && xargs -0 -r rm -f --)
    tr '\n' '\0' <"$work/names" | (cd "$1" && xargs -0 -r stat --printf '%s  %n\0' -- 2>/dev/null) || :
    for program in sha256sum md5sum; do
      printf '\0'
      sums "$1" $program
    done ;;
  odd)
    # The bytes of one object come on the standard input; it lies under their sum.
    hold
    mkdir -p odd
    cat >"$work/object" || cannot 'the object cannot be written'
    sum=$(sha256sum <"$work/object")
    [ "${sum%% *}" = "$1" ] || cannot 'the object did not arrive whole'
    sync "$work/object"
    mv -f "$work/object" "odd/$1" || cannot 'the object cannot be kept'
    answer done ;;
  read-odd) cat "odd/$1" ;;
  drop)
    # What was brought, and is not what was listed.
    hold
    tr '\n' '\0' | (cd "$1" && xargs -0 -r rm -f --)
    answer done ;;
  store)
    # The list of run ID comes in, of so many lines; what arrived is taken in. First what is replaced is kept, then the new
    # is laid in its place, then the list gets its name: who is killed in between has lost nothing.
    id=$1
    hold
    mkdir -p incoming current generations objects
    cat >"$work/list" || cannot 'the list cannot be written'
    [ "$(wc -l <"$work/list")" = "$2" ] || cannot 'the list is not whole'
    keep=generations/$id
    mkdir -p "$keep"
    find incoming -type f -printf '%P\0' | sort -z >"$work/arrived"
    find current ! -type d -printf '%P\0' | sort -z >"$work/here"
    comm -z -12 "$work/arrived" "$work/here" |
      (cd current && xargs -0 -r cp -alf --parents -t "../$keep" --) || cannot 'what is replaced cannot be kept'
    # A name that was a directory and is an object now, or the other way round.
    {
      find incoming -mindepth 1 -type d -printf '%P\0' | sort -z | comm -z -12 - "$work/here"
      find current -mindepth 1 -type d -printf '%P\0' | sort -z | comm -z -12 - "$work/arrived"
    } | xargs -0 -r -n 1 sh -c 'mkdir -p "$0/$(dirname "$1")" && cp -alf -T "current/$1" "$0/$1" && rm -rf "current/$1"' "$keep" ||
      cannot 'what is replaced cannot be kept'
    rmdir "$keep" 2>/dev/null
    settle
    said=$(cp -alf --remove-destination -T incoming current 2>&1) || cannot "$said"
    settle
    gzip -1 "$work/list" && sync "$work/list.gz" && mv -f "$work/list.gz" "objects/$id.jsonl.gz" || cannot 'the list cannot be written'
    settle
    rm -rf incoming
    answer done ;;
  build)
    # Lay together what was there as of run ID: the newest, and over it what later runs replaced, the earliest of them last.
    id=$1 to=outgoing/$2
    hold
    take_names
    rm -rf outgoing
    mkdir -p "$to"
    here=$PWD
    tr '\n' '\0' <"$work/names" | sort -z >"$work/wanted"
    later=$(ls -r generations 2>/dev/null | awk -v id="$id" '$0 > id { print "generations/" $0 }')
    for place in current $later; do
      [ -d "$place" ] || continue
      present "$place" "$work/wanted" |
        (cd "$place" && xargs -0 -r cp -alf --remove-destination --parents -t "$here/$to" --) || cannot 'the copy cannot be laid together'
    done
    sums "$to" sha256sum ;;
  put)
    hold
    take_names
    if [ -d "$1" ]; then copy "$1" source: --ignore-times; else printf 'samaops-objects: ended 0\n'; fi ;;
  remove)
    hold
    cat >"$work/names" && xargs -0 -r rm -f -- <"$work/names" || cannot 'not all of it could be removed'
    for place in generations current; do
      [ ! -d "$place" ] || find "$place" -mindepth 1 -type d -empty -delete
    done
    answer done ;;
  clear)
    hold
    rm -rf outgoing
    answer done ;;
  places)
    # All that is kept of earlier runs, and by which.
    find generations -mindepth 2 -type f -printf '%P\0' 2>/dev/null | sort -z ;;
esac
