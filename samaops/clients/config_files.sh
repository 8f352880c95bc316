# Configuration files of this server: read them; put another content in the place of one, and keep what was there.
# Arguments: what to do, the directory of what is kept, then the path; for put also the sum of what must be there now ("" for
# no file), for back that and the sum of what was kept. Standard input of put: the content. What is kept has its sum as its name.
what=$1 kept=$2 path=$3
umask 077
fail() { printf '%s\n' "$*" >&2; exit 1; }
sum_of() { if [ -e "$1" ]; then sha256sum <"$1" | cut -d ' ' -f 1; fi; }
[ "$what" = read ] || {
  [ ! -L "$path" ] || path=$(readlink -f -- "$path") || exit 1
  [ ! -e "$path" ] || [ -f "$path" ] || fail "$path: not a file"
  [ -d "${path%/*}" ] || fail "${path%/*}: No such file or directory"
  [ "$(sum_of "$path")" = "$4" ] || fail "$path: others have changed it"
}
case $what in
  read)
    [ -e "$path" ] || { echo absent; exit 0; }
    [ -f "$path" ] || fail "$path: not a file"
    [ "$(stat -L -c %s -- "$path")" -le "$4" ] || fail "$path: File too large"
    echo there
    base64 -w 0 <"$path" ;;
  put)
    # Others read what lies beside it.
    (umask 022 && mkdir -p -- "${kept%/*}") && mkdir -p -m 700 -- "$kept" || exit 1
    new=$path.samaops-new
    trap 'rm -f -- "$new"' EXIT
    if [ -e "$path" ]; then
      # With its owner, rights and time.
      [ -e "$kept/$4" ] || { cp -p -- "$path" "$kept/.new" && sync -- "$kept/.new" && mv -- "$kept/.new" "$kept/$4"; } || exit 1
      cp -p -- "$path" "$new" || exit 1
    else
      : >"$new" || exit 1
      # As its directory belongs to somebody; others may not read it: it may hold a secret.
      chown --reference="${path%/*}" -- "$new" && chmod 640 -- "$new" || exit 1
    fi
    cat >"$new" || exit 1
    [ "$(sum_of "$new")" = "$5" ] || fail "$path: not all of it came"
    sync -- "$new" && mv -- "$new" "$path" && sync -- "${path%/*}" ;;
  back)
    if [ -z "$5" ]; then rm -f -- "$path"; exit; fi
    [ "$(sum_of "$kept/$5")" = "$5" ] || fail "$kept/$5: not as it was kept"
    new=$path.samaops-new
    trap 'rm -f -- "$new"' EXIT
    cp -p -- "$kept/$5" "$new" && sync -- "$new" && mv -- "$new" "$path" && sync -- "${path%/*}" ;;
esac
