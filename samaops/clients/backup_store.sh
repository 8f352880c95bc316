# The directory of the backups on their server: the only program that touches it. As PostgreSQL's user.
# Arguments: what to do, the directory, then what that takes. Ids and paths are checked by who calls. The last line of
# the standard output is "samaops-store: done" where it is done.
what=$1 base=$2 ours=$2/samaops catalogue=$2/samaops/catalogue
shift 2
umask 077
done_() { echo 'samaops-store: done'; exit 0; }
fail() { printf '%s\n' "$*" >&2; exit 1; }
# On the disk, not only in the kernel's memory.
on_disk() { sync -- "$@" || exit 1; }
make() { [ -d "$catalogue" ] || { mkdir -p -- "$catalogue" && on_disk "$ours" "$base"; } || exit 1; }
is_absent() { ! error=$(stat -L -- "$1" 2>&1 >/dev/null) && case $error in *'No such file'*) ;; *) fail "$error" ;; esac; }
case $what in
  rows) # the names and sizes of all, then the newest of those that are small enough, in one archive
    most=$1 most_bytes=$2
    is_absent "$catalogue" && { echo absent; done_; }
    cd "$catalogue" || exit 1
    find . -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%y\t%s\t%P\n' | LC_ALL=C sort -r -k 3
    echo 'samaops-store: archive'
    find . -mindepth 1 -maxdepth 1 -type f -name '*.json' -size "-$((most_bytes / 1024 + 1))k" -printf '%f\n' |
      LC_ALL=C sort -r | head -n "$most" |
      tar --create --file=- --ignore-failed-read --verbatim-files-from --files-from=- | gzip -1 | base64 -w 0
    echo
    done_ ;;
  write) # the row of an id from the standard input, where it still is what it was; "new": where there is none
    id=$1 was=$2
    make
    exec 8>"$catalogue/.lock" || exit 1
    flock -w 10 8 || fail 'the catalogue is locked'
    file=$catalogue/$id.json
    is=$(sha256sum <"$file" 2>/dev/null) || is=new
    [ "${is%% *}" = "$was" ] || { echo changed; done_; }
    trap 'rm -f "$catalogue/.$id.new"' EXIT
    cat >"$catalogue/.$id.new" && on_disk "$catalogue/.$id.new" && mv -T -- "$catalogue/.$id.new" "$file" || exit 1
    on_disk "$catalogue"
    echo written
    done_ ;;
  begin)
    make
    mkdir -- "$ours/$1.partial" || exit 1
    on_disk "$ours"
    done_ ;;
  put) # a file of a run that goes on, from the standard input
    file=$ours/$1.partial/$2
    [ -d "$ours/$1.partial" ] || fail "$ours/$1.partial: No such file or directory"
    mkdir -p -- "${file%/*}" && cat >"$file" || exit 1
    done_ ;;
  finish) # all of it is on the disk before it has its name
    cd "$ours/$1.partial" || exit 1
    find . -type f -print0 | xargs -0 -r sync -- || exit 1
    find . -depth -type d -print0 | xargs -0 -r sync -- || exit 1
    [ ! -e "$ours/$1" ] || fail "$ours/$1: File exists"
    mv -T -- "$ours/$1.partial" "$ours/$1" || exit 1
    on_disk "$ours"
    done_ ;;
  files) # what lies in a backup: kind, size, path
    cd "$1" || exit 1
    find . -mindepth 1 ! -type d -printf '%y\t%s\t%P\n' | head -n "$2"
    done_ ;;
  read)
    [ -f "$1" ] || fail "$1: No such file or directory"
    head -c "$2" -- "$1" | base64 -w 0
    echo
    done_ ;;
  remove) # a backup of ours, or a run that failed: its name first, so that none is taken for whole that is not
    if [ -e "$ours/$1" ]; then mv -T -- "$ours/$1" "$ours/$1.expired" && on_disk "$ours" || exit 1; fi
    rm -f -- "$catalogue/$1.json" || exit 1
    [ ! -d "$catalogue" ] || on_disk "$catalogue"
    rm -rf -- "$ours/$1.expired" "$ours/$1.partial" || exit 1
    done_ ;;
  remove-guide)
    rm -f -- "$base/$1" "$catalogue/$1.json" || exit 1
    on_disk "$base"
    done_ ;;
  discard) # what is left of a run that died, of which nobody holds the directory any more
    [ -e "$ours/$1" ] || { echo gone; done_; }
    exec 9<"$ours/$1" || exit 1
    flock -n 9 || { echo running; done_; }
    rm -rf -- "$ours/$1" || exit 1
    on_disk "$ours"
    echo discarded
    done_ ;;
  left) # directories of runs that go on, or died, and of removals that did not end: is it held, since when, how large
    is_absent "$ours" && done_
    cd "$ours" || exit 1
    for directory in *.partial *.expired; do
      [ -d "$directory" ] || continue
      if flock -n -s "$directory" true; then held=dead; else held=running; fi
      printf '%s\t%s\t%s\t%s\n' "$held" "$(stat -c %Y -- "$directory")" \
        "$(timeout 5 du -sb -- "$directory" | cut -f 1)" "$directory"
    done
    done_ ;;
  whole) # the directories of ours that are there
    is_absent "$ours" && done_
    cd "$ours" || exit 1
    find . -mindepth 1 -maxdepth 1 -type d ! -name catalogue -printf '%P\n'
    done_ ;;
  guide) # the guide's own dumps
    is_absent "$base" && done_
    find -L "$base" -mindepth 1 -maxdepth 1 -type f -name "$1" -printf '%s\t%T@\t%f\n' | head -n "$2"
    done_ ;;
  free)
    place=$base
    while is_absent "$place"; do place=$(dirname -- "$place"); done
    df -B 1 --output=avail,size -- "$place" | tail -n 1
    done_ ;;
  disk) # the device on which a path lies, or would lie
    place=$1
    while is_absent "$place"; do place=$(dirname -- "$place"); done
    stat -L -c %d -- "$place" || exit 1
    done_ ;;
esac
fail "unknown: $what"
