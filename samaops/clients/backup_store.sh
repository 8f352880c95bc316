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
is_absent() {
  ! error=$(stat -L -- "$1" 2>&1 >/dev/null) || return 1
  error=$(printf "%s\n" "$error" | grep "^stat: ")
  case $error in *"No such file"*) ;; *) fail "$error" ;; esac
}
# All rows: their names and sizes, then the newest of those that are small enough, in one archive.
rows() {
  is_absent "$catalogue" && { echo absent; return; }
  cd "$catalogue" || exit 1
  find . -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%y\t%s\t%P\n' | LC_ALL=C sort -r -k 3
  echo 'samaops-store: archive'
  find . -mindepth 1 -maxdepth 1 -type f -name '*.json' -size "-$(($2 / 1024 + 1))k" -printf '%f\n' |
    LC_ALL=C sort -r | head -n "$1" |
    tar --create --file=- --ignore-failed-read --verbatim-files-from --files-from=- | gzip -1 | base64 -w 0
  echo
}
# Directories of runs that go on, or died, and of removals that did not end: is it held, since when, how large.
left() {
  is_absent "$ours" && return
  cd "$ours" || exit 1
  for directory in *.partial *.expired; do
    [ -d "$directory" ] || continue
    if flock -n -s "$directory" true; then held=dead; else held=running; fi
    printf '%s\t%s\t%s\t%s\n' "$held" "$(stat -c %Y -- "$directory")" \
      "$(timeout 5 du -sb -- "$directory" | cut -f 1)" "$directory"
  done
}
# The directories of ours that have the name of a whole backup.
whole() {
  is_absent "$ours" && return
  cd "$ours" || exit 1
  find . -mindepth 1 -maxdepth 1 -type d ! -name catalogue -printf '%P\n'
}
# The guide's own dumps.
guide() {
  is_absent "$base" && return
  find -L "$base" -mindepth 1 -maxdepth 1 -type f -name "$1" -printf '%s\t%T@\t%f\n' | head -n "$2"
}
above() { place=$1; while is_absent "$place"; do place=$(dirname -- "$place"); done; printf '%s' "$place"; }
free() { df -B 1 --output=avail,size -- "$(above "$base")" | tail -n 1; }
disk() { stat -L -c %d -- "$(above "$1")" || exit 1; }
# The device of the data directory of the PostgreSQL on this port: the first process of each stands in its own.
data_disk() {
  for process in $(pgrep -u "$(id -u)" -x postgres); do
    directory=$(readlink "/proc/$process/cwd") || continue
    [ "$(sed -n 4p "$directory/postmaster.pid" 2>/dev/null)" = "$1" ] && stat -c %d -- "$directory" && return
  done
}
case $what in
  rows) rows "$@"; done_ ;;
  left) left; done_ ;;
  whole) whole; done_ ;;
  guide) guide "$@"; done_ ;;
  free) free; done_ ;;
  survey) # all that a look wants, at once: most rows, most bytes of a row, the guide's pattern, the port, a command line
    # that tells of pgBackRest's stanza, "" without one: what it is silent about must not keep the rest from us.
    for part in rows left whole guide free disk data_disk now processors majors programs ${5:+stanza}; do
      printf 'samaops-store: section %s\n' "$part"
      case $part in
        rows) (rows "$1" "$2") || exit 1 ;;
        guide) (guide "$3" "$1") || exit 1 ;;
        disk) disk "$base" ;;
        data_disk) data_disk "$4" ;;
        now) date +%s ;;
        processors) nproc ;;
        majors) for program in /usr/lib/postgresql/*/bin/pg_dump; do [ -x "$program" ] && echo "$program"; done ;;
        programs) for program in age restic rclone pgbackrest; do command -v "$program"; done ;;
        stanza) timeout -k 1 "$6" sh -c "$5" 2>&1 || echo; echo ;;
        *) ("$part") || exit 1 ;;
      esac
    done
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
  encrypt) # the same, to a recipient of age
    file=$ours/$1.partial/$2
    command -v age >/dev/null 2>&1 || fail 'age: not installed'
    [ -d "$ours/$1.partial" ] || fail "$ours/$1.partial: No such file or directory"
    mkdir -p -- "${file%/*}" && age -r "$3" -o "$file" || exit 1
    [ -s "$file" ] || fail 'age wrote nothing'
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
  remove | remove-data) # a backup of ours, or a run that failed: its name first, so that none is taken for whole that is not
    if [ -e "$ours/$1" ]; then mv -T -- "$ours/$1" "$ours/$1.expired" && on_disk "$ours" || exit 1; fi
    if [ "$what" = remove ]; then
      rm -f -- "$catalogue/$1.json" || exit 1
      [ ! -d "$catalogue" ] || on_disk "$catalogue"
    fi
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
esac
fail "unknown: $what"
