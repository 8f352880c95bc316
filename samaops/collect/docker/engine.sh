# Stands before each script that asks a Docker engine; its arguments are that script's own.

has_docker() {
  command -v docker >/dev/null 2>&1 && return
  echo 'docker: command not found' >&2
  return 1
}

# Ask docker, and set answer and code. Where the socket is closed to our user alone, docker is asked with sudo, now and
# from there on. $docker is a command and its arguments: left without quotes where it is used.
ask() {
  docker="timeout -k 1 $seconds docker"
  answer=$($docker "$@")
  code=$?
  case $uid:$code in 0:* | *:0 | *:124 | *:137) return ;; esac
  case $($docker ps -q 2>&1 >/dev/null) in
    *'ermission denied while trying to connect'*)
      if as_admin=$(sudo -n -- $docker "$@" 2>/dev/null); then
        docker="sudo -n -- $docker" answer=$as_admin code=0
      fi ;;
  esac
}

