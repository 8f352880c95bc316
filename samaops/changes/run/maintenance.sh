# Rotate one log so that nothing is lost that is written meanwhile, and say how it ended. Runs as root.
# Arguments: the directory; the name; its inode; the method (pack, collapse, reopen); whether its name is that of a
# current log; a stamp for the name of what becomes of it; the unit of its file system; the command that has it opened anew.
# pack: nobody has it open. It is renamed, so that who opens it from now on begins another, and compressed.
# collapse: the beginning is compressed, then taken off by fallocate, under the lock under which it is written.
# reopen: as pack, after the command and once nobody has it open any more; where somebody keeps it, it gets its name back.
# What was compressed is compared with its source, byte by byte, before that goes. Standard output: marked lines.
directory=$1 name=$2 inode=$3 method=$4 current=$5 stamp=$6 block=$7 reopen=$8
ended() { printf 'samaops-rotation: %s\n' "$*"; exit 0; }
cd -- "$directory" || ended "failed $directory: not there"
source=./$name
[ "$(stat -c %i -- "$source" 2>/dev/null)" = "$inode" ] || ended "failed it is another file by now"
[ ! -L "$source" ] || ended 'failed it is a link'

# Whether any process has this file open for writing; 2: that could not be seen.
is_open() {
  place=$(stat -c %d:%i -- "$1") || return 2
  [ -r /proc/1/fd ] || return 2
  find -L /proc/[0-9]*/fd -maxdepth 1 -type f -printf '%D:%i %p\n' 2>/dev/null | {
    while read -r found path; do
      [ "$found" = "$place" ] || continue
      process=${path#/proc/}
      case $(awk '/^flags:/ { print $2 }' "/proc/${process%%/*}/fdinfo/${path##*/}" 2>/dev/null) in
        *[123567]) exit 0 ;;
      esac
    done
    exit 1
  }
}

# Compress a file beside it, or its first bytes, and prove that all is in it; its owner, mode and time stay.
compress() {
  from=$1 to=$2 bytes=$3
  [ ! -e "$to" ] || ended "failed $to is there already"
  trap 'rm -f -- "$to.partial"' EXIT
  head -c "$bytes" -- "$from" | nice -n 19 gzip -c >"$to.partial" || ended "failed it could not be compressed: is the disk full?"
  gzip -dc -- "$to.partial" | cmp -s -n "$bytes" - "$from" || ended 'failed what was compressed is not the same'
  [ "$(gzip -dc -- "$to.partial" | wc -c)" -eq "$bytes" ] || ended 'failed what was compressed is not whole'
  chmod --reference="$from" -- "$to.partial" && chown --reference="$from" -- "$to.partial" &&
    touch --reference="$from" -- "$to.partial" && sync -- "$to.partial" || ended 'failed its owner or its time could not be set'
}

keep() { mv -n -- "$1.partial" "$1" && [ ! -e "$1.partial" ] || ended "failed $1 is there already"; trap - EXIT; sync -- .; }

# Give a renamed file its name back, unless another has it by now.
give_back() { ln -- "$1" "$source" 2>/dev/null && rm -f -- "$1"; }

take_away() {
  if [ "$current" = 1 ]; then
    moved=./$name-$stamp
    # A link and a removal in place of a rename: it never replaces what is there.
    ln -- "$source" "$moved" || ended "failed $moved is there already"
    rm -f -- "$source"
  else
    moved=$source
  fi
}

case $method in
  collapse)
    size=$(stat -c %s -- "$source")
    bytes=$((size / block * block))
    [ "$bytes" -gt 0 ] || ended 'failed it is smaller than a block'
    command -v fallocate >/dev/null || ended 'failed fallocate is missing'
    packed=./$name-$stamp.gz
    compress "$source" "$packed" "$bytes"
    keep "$packed"
    # Somebody else's rotation in between: what would be taken off is not what was compressed.
    if [ "$(stat -c %s -- "$source")" -lt "$size" ] ; then
      rm -f -- "$packed"
      ended 'failed it was cut meanwhile'
    fi
    if ! words=$(fallocate --collapse-range --offset 0 --length "$bytes" -- "$source" 2>&1); then
      rm -f -- "$packed"
      ended "failed ${words#fallocate: }"
    fi
    ended "done $packed" ;;
  pack | reopen)
    [ -r /proc/1/fd ] || ended 'failed who has it open could not be seen'
    if [ "$method" = pack ]; then
      is_open "$source"
      case $? in 0) ended 'failed somebody has it open' ;; 2) ended 'failed who has it open could not be seen' ;; esac
    fi
    take_away
    if [ "$method" = reopen ]; then
      words=$(timeout -k 1 20 sh -c "$reopen" 2>&1 </dev/null) || { give_back "$moved"; ended "failed $reopen: $words"; }
    fi
    left=30
    while is_open "$moved"; do
      # Who opened it between the look and the renaming writes there still: it must not go.
      if [ "$method" = pack ] || [ "$left" = 0 ]; then
        [ "$current" = 0 ] || give_back "$moved"
        ended 'failed somebody has it open still'
      fi
      sleep 1
      left=$((left - 1))
    done
    size=$(stat -c %s -- "$moved")
    compress "$moved" "$moved.gz" "$size"
    is_open "$moved" && ended 'failed somebody has opened it meanwhile'
    [ "$(stat -c %s -- "$moved")" = "$size" ] || ended 'failed it was written meanwhile'
    keep "$moved.gz"
    rm -f -- "$moved"
    ended "done $moved.gz" ;;
esac
ended "failed $method: no such method"
