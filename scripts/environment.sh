# Sourced by demo and test: install what is missing. Idempotent; says what it does on stderr.
# Debian packages come with apt-get (through sudo when not root), Python packages with pip into .venv.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1

DEBIAN_PACKAGES=(
  postgresql-15 pgbouncer redis-server rabbitmq-server openssh-server openssh-client docker.io docker-compose
  tinyproxy nginx-light unixodbc odbc-postgresql python3-venv iproute2 iputils-ping procps curl zsh fish
  prometheus # its promtool; the server is not started
  age # who has the key alone reads what is secret in a backup
  gcc libc6-dev # the tests build an ODBC driver that crashes
  rclone restic # how objects and backups are copied
  systemd # its systemd-analyze; nothing is started by it
  pgbackrest # the other engine of the backups
  check-pgactivity pg-activity # what others see of a database: the tests compare
  lynis # the monthly audit
  prometheus-alertmanager prometheus-node-exporter # the tests tell the one, and let the other read the text file
  nftables iptables netcat-openbsd # the printed rules are loaded and applied, in networks of the tests
  mmdebstrap # a clean Debian, in which the packages are installed
)

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
  local package
  for package in "${DEBIAN_PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || printf '%s\n' "$package"
  done
}

install_debian_packages() {
  local missing policy=/usr/sbin/policy-rc.d placed=no status=0
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null || { say "apt-get is needed to install: ${missing[*]}"; return 1; }
  say "Installing Debian packages: ${missing[*]}"
  # The packages must not start servers of their own on the guide's ports.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy && placed=yes
  fi
  as_root apt-get update -qq >&2 || say "apt-get update failed; going on with the lists there are"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || status=$?
  [ $placed = yes ] && as_root rm -f $policy
  return $status
}

# Prints the path of a Python of this version, if there is one on PATH or under pyenv.
find_python() {
  local version=$1 candidate
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python "$(command -v "python$version")"; do
    if [ -x "$candidate" ] && "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != tuple(map(int, '$version'.split('.'))))" 2>/dev/null; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# make_environment DIRECTORY PYTHON EXTRAS [OPTION OF PIP...]: a virtual environment with samaops installed editable.
make_environment() {
  local directory=$1 python=$2 extras=$3 stamp wanted
  shift 3
  stamp=$directory/installed
  # The catalogue is compiled when the package is installed, so a change of it asks for an installation.
  wanted=$(cat pyproject.toml constraints.txt samaops/locale/*/LC_MESSAGES/*.po | cksum)-$extras-$("$python" --version)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return 0
  say "Installing Python packages into $directory"
  [ -x "$directory/bin/python" ] || "$python" -m venv "$directory" || return 1
  "$directory/bin/python" -m pip install -q --disable-pip-version-check "$@" -c constraints.txt -e ".[$extras]" >&2 || return 1
  printf '%s' "$wanted" >"$stamp"
}

# The newest supported Python there is for .venv itself: the system's own first.
default_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v $candidate >/dev/null && $candidate -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      $candidate -c 'import sys; print(sys.executable)'
      return 0
    fi
  done
  say "Python 3.10 to 3.13 is needed"
  return 1
}
