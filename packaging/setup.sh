#!/bin/sh
# What the packages of samaops do on a machine: the Debian package from its maintainer scripts, the bundle from its installer.
#
# setup configure VERSION   make the environment of this machine's Python from the wheels here, without a network; the user and the directories
# setup renew VERSION       the same, only where Python is another one than that of the environment
# setup remove              take the environment away; configuration, history and user stay
# setup left                say what stays
set -eu
umask 022

HERE=$(CDPATH= cd "$(dirname "$(readlink -f "$0")")" && pwd)
PYTHON=${SAMAOPS_PYTHON:-python3}
ENVIRONMENTS=$HERE/environments
CURRENT=$HERE/current
# Of the user samaops alone: its history, log and keys. Above it nothing is his, so that root can trust what lies there.
HOME_OF_USER=/var/lib/samaops/home

say() { printf 'samaops: %s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

python_version() { "$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# Nothing of root's session or of this machine's own settings of pip decides what is installed.
alone() { env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LANG=C.UTF-8 PIP_CONFIG_FILE=/dev/null "$@"; }

make_environment() {
  version=$1
  command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON on this machine"
  python=$(python_version)
  list=$HERE/wheels/$python.txt
  if [ ! -f "$list" ]; then
    there=$(cd "$HERE/wheels" && ls -- *.txt | sed 's/\.txt$//' | tr '\n' ' ')
    fail "$PYTHON is Python $python, and there are libraries for ${there}only; SAMAOPS_PYTHON names another one"
  fi
  mkdir -p "$ENVIRONMENTS"
  new=$(mktemp -d "$ENVIRONMENTS/$version-python$python.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  chmod 755 "$new"
  say "making the environment of Python $python (a quarter of a minute)"
  alone "$PYTHON" -m venv "$new" || fail "$PYTHON cannot make an environment: is python3-venv installed?"
  (cd "$HERE/wheels" && alone xargs -- "$new/bin/python" -m pip install --quiet --no-index --no-deps --disable-pip-version-check --root-user-action=ignore <"$list") ||
    fail "the libraries could not be installed"
  answer=$(alone "$new/bin/samaops" --version) || fail "what was installed does not run"
  # Every command is imported: a library that is missing, or that this machine cannot load, is found now.
  alone "$new/bin/python" -c 'from importlib import import_module
from samaops.cli.commands import COMMANDS
for name, (module, _text) in COMMANDS.items():
    if name != "lab": import_module(module)' || fail "a library is missing, or cannot be loaded here"
  [ "$answer" = "samaops $version" ] || fail "what was installed is $answer, not samaops $version"
  # Whole at once: who calls samaops has the version before or this one.
  ln -sfn "$new" "$CURRENT.new"
  mv -T "$CURRENT.new" "$CURRENT"
  trap - EXIT
  sweep "$new"
}

# Remove every other environment but those that a process still runs from, such as a scheduler.
sweep() {
  for old in "$ENVIRONMENTS"/*; do
    if [ "$old" = "$1" ] || [ ! -d "$old" ]; then continue; fi
    if grep -qsF "$old/" /proc/[0-9]*/cmdline; then
      say "$old is still in use and stays until the next installation; to begin anew with this version: systemctl restart samaops-schedule"
    else
      rm -rf "$old"
    fi
  done
}

make_user() {
  if ! getent group samaops >/dev/null; then groupadd --system samaops; fi
  if ! getent passwd samaops >/dev/null; then
    useradd --system --gid samaops --home-dir "$HOME_OF_USER" --no-create-home --shell /usr/sbin/nologin --comment "samaops" samaops
  fi
}

# directory MODE OWNER PATH: what is there already keeps the rights that somebody gave it.
directory() {
  [ -d "$3" ] || install -d -m "$1" -o "${2%%:*}" -g "${2##*:}" "$3"
}

make_places() {
  directory 0750 root:samaops /etc/samaops
  directory 0750 root:samaops /etc/samaops/secrets
  directory 0755 root:root /var/lib/samaops
  directory 0700 samaops:samaops "$HOME_OF_USER"
  for part in .local .local/state; do directory 0700 samaops:samaops "$HOME_OF_USER/$part"; done
  # Of the scheduler, and of whoever of the group maintains by hand: a file in it belongs to the group.
  directory 2770 samaops:samaops /var/log/samaops
  # As /usr/lib/tmpfiles.d/samaops.conf makes it at the next start of the machine.
  directory 2770 root:samaops /run/samaops
}

systemd_knows() {
  if [ -d /run/systemd/system ]; then systemctl daemon-reload || say "systemctl daemon-reload failed"; fi
}

case "${1:-}" in
  configure)
    make_environment "$2"
    make_user
    make_places
    systemd_knows
    [ -e /etc/samaops/config.toml ] || [ -d /etc/samaops/sites ] || say "next: samaops config init --path /etc/samaops/config.toml, then samaops doctor; samaops docs install"
    ;;
  renew)
    case "$(readlink "$CURRENT" || true)" in
      *"-python$(python_version)."*) ;;
      *) make_environment "$2" ;;
    esac
    ;;
  remove)
    rm -rf "$ENVIRONMENTS" "$CURRENT" "$CURRENT.new"
    ;;
  left)
    for place in /etc/samaops /var/lib/samaops /var/log/samaops; do
      if [ -e "$place" ]; then say "$place stays as it is; to remove it: rm -r $place"; fi
    done
    if getent passwd samaops >/dev/null; then say "the user and the group samaops stay; to remove them: userdel samaops"; fi
    ;;
  *)
    fail "usage: setup configure VERSION | renew VERSION | remove | left"
    ;;
esac
