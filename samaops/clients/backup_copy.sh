# A place for copies of backups on another server. Everything in it is written once, read again, and given its name then.
# Arguments: what to do, the directory, the words of that. Standard output: what is asked for, and a marked line at the end.
what=$1 directory=$2
shift 2
umask 077
LC_ALL=C
export LC_ALL
answer() { printf 'samaops-copy: %s\n' "$*"; exit 0; }
cannot() { answer "cannot $(printf '%s' "$*" | tr '\n' ' ' | head -c 300)"; }
for program in tar sha256sum find sort xargs flock df; do
  command -v "$program" >/dev/null 2>&1 || cannot "$program: not found"
done
said=$(mkdir -p -- "$directory" 2>&1) || cannot "$said"
cd "$directory" 2>/dev/null || cannot "$directory: cannot be entered"
[ -w . ] || cannot "$directory: not writable"
hold() {
  exec 9<.
  flock -n 9 || cannot 'another samaops copies to here'
}
settle() { sync -f . 2>/dev/null || sync; }
case $what in
  look)
    [ ! -d "$1" ] || echo there
    printf 'free %s\n' "$(df -B1 --output=avail . | tail -n 1 | tr -d ' ')"
    answer done ;;
  take)
    # A backup comes as an archive on the standard input. Nothing has its name before it was read again.
    hold
    [ ! -e "$1" ] || cannot "$1: there already"
    rm -rf "$1.partial"
    mkdir "$1.partial" || cannot "$1.partial: cannot be made"
    said=$(tar -x -f - --no-same-owner -C "$1.partial" 2>&1) || cannot "$said"
    answer done ;;
  sums)
    cd "$1.partial" || cannot "$1.partial: not there"
    find . ! -type d -printf '%P\0' | sort -z | xargs -0 -r sha256sum -z --
    answer done ;;
  finish)
    hold
    [ ! -e "$1" ] || cannot "$1: there already"
    settle
    mv -T "$1.partial" "$1" || cannot "$1: cannot be named"
    settle
    answer done ;;
  discard)
    hold
    rm -rf "$1.partial"
    answer done ;;
  remove)
    hold
    if [ ! -e "$1" ] && [ ! -e "$1.expired" ]; then
      [ -n "$(find . -mindepth 2 -maxdepth 2 -name manifest.json -print -quit)" ] || cannot "$directory: holds no copy at all"
    fi
    [ ! -e "$1" ] || mv -T "$1" "$1.expired" || cannot "$1: cannot be removed"
    settle
    said=$(rm -rf "$1.expired" 2>&1) || cannot "$said"
    answer done ;;
  list)
    # What is kept of the objects, what never changes first: whoever is interrupted has lost nothing.
    for place in generations odd kept current objects runs; do
      [ ! -d "$place" ] || find "$place" -type f -printf '%p\t%s\t%T@\0' | sort -z
    done ;;
  add)
    hold
    said=$(tar -x -f - --no-same-owner 2>&1) || cannot "$said"
    settle
    answer done ;;
  sums-of) xargs -0 -r sha256sum -z -- ;;
esac
