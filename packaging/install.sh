#!/bin/sh
# Installs samaops from this directory, without a network; run it as root. An older version is replaced, configuration and history stay.
#
# ./install.sh [--python PYTHON]   install or upgrade, with this Python in place of python3
# ./install.sh --remove            take the program away; configuration and history stay
set -eu

HERE=$(CDPATH= cd "$(dirname "$(readlink -f "$0")")" && pwd)
LIBRARY=/usr/lib/samaops

say() { printf 'samaops: %s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

remove_files() {
  [ -f $LIBRARY/files ] || return 0
  while read -r file; do rm -f "/$file"; done <$LIBRARY/files
  rmdir /usr/share/doc/samaops/docs /usr/share/doc/samaops || say "/usr/share/doc/samaops stays: something else lies there"
}

[ "$(id -u)" -eq 0 ] || fail "only root can do this: sudo $0"
if dpkg-query -W -f '${Status}' samaops 2>/dev/null | grep -q ' installed$'; then
  fail "the Debian package samaops is installed here; one of the two is enough: apt-get remove samaops"
fi
case "${1:-}" in
  "") ;;
  --python)
    [ -n "${2:-}" ] || fail "--python: which one?"
    SAMAOPS_PYTHON=$2
    export SAMAOPS_PYTHON
    ;;
  --remove)
    [ -f $LIBRARY/files ] || fail "it is not installed from a bundle"
    if [ -d /run/systemd/system ]; then systemctl disable --now samaops-schedule.service || say "samaops-schedule.service could not be ended"; fi
    $LIBRARY/setup left
    remove_files
    rm -rf $LIBRARY
    exit 0
    ;;
  *) fail "usage: $0 [--python PYTHON | --remove]" ;;
esac

# Looked at first: a machine that has no Python for it keeps the version that it has.
python=$("${SAMAOPS_PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "Python is needed"
[ -f "$HERE/tree$LIBRARY/wheels/$python.txt" ] || fail "there are no libraries for Python $python here; --python names another one"
remove_files
mkdir -p $LIBRARY
(cd "$HERE/tree" && find . ! -type d ! -path './etc/*' | sed 's|^\./||') >$LIBRARY/files
tar -C "$HERE/tree" --exclude ./etc -cf - . | tar -C / --no-same-owner --no-overwrite-dir -xpf -
# What was changed here by hand is kept.
[ -e /etc/logrotate.d/samaops ] || install -D -m 644 "$HERE/tree/etc/logrotate.d/samaops" /etc/logrotate.d/samaops
$LIBRARY/setup configure "$(cat "$HERE/VERSION")"
