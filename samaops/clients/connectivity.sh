# Try TCP connections from here, side by side; each is dropped as soon as it is there. Changes nothing, writes nothing.
# Arguments: how many seconds each may take; then for each its host, port, and "-" or the proxy as HOST PORT in one word
# with a colon. Answers: "program NAME" (or "program -"), then for each "line NUMBER CODE WORDS": 0 open, 124 no answer,
# 2 no such name, 3 no answer about the name, 4 through the proxy: its own answer, 5 the proxy is not reached, 127 no
# program for this; else the words tell.
seconds=$1
shift
export LC_ALL=C

through_bash='
  exec 3<>"/dev/tcp/$1/$2" || exit 1
  [ -n "$3" ] || exit 0
  printf "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n" "$3" "$4" "$3" "$4" >&3
  echo connected
  IFS= read -r answer <&3
  printf "%s\n" "$answer"'

through_python='
import socket, sys
host, port, name, number = sys.argv[2:6]
try:
    connection = socket.create_connection((host, int(port)), float(sys.argv[1]))
    if name:
        print("connected")
        ask = "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n" % (name, number, name, number)
        connection.sendall(ask.encode())
        print(connection.recv(200).split(b"\r\n")[0].decode("ascii", "replace"))
except socket.timeout:
    sys.exit(124)
except Exception as error:
    print(error)
    sys.exit(1)'

program=-
if command -v bash >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1; then
  program=bash
else
  for name in python3 python nc; do
    command -v $name >/dev/null 2>&1 && { program=$name; break; }
  done
fi
echo "program $program"

limited() {
  if command -v timeout >/dev/null 2>&1; then timeout "$@"; else shift; "$@"; fi
}

connect() {
  case $program in
    bash) timeout "$seconds" bash -c "$through_bash" bash "$@" ;;
    python*) limited $((seconds + 1)) $program -c "$through_python" "$seconds" "$@" ;;
    nc) if [ -n "$3" ]; then return 127; else limited $((seconds + 1)) nc -v -z -w "$seconds" "$1" "$2"; fi ;;
    *) return 127 ;;
  esac
}

# A name is looked up by itself first: a DNS that does not answer would else look like a port that does not.
name_is_known() {
  case $1 in *[!0-9.]*) ;; *) return 0 ;; esac
  case $1 in *:*) return 0 ;; esac
  command -v getent >/dev/null 2>&1 || return 0
  limited "$seconds" getent hosts "$1" >/dev/null 2>&1
  case $? in 0) return 0 ;; 124 | 143) echo "line $2 3 $1"; return 1 ;; *) echo "line $2 2 $1"; return 1 ;; esac
}

# number host port proxy
try() {
  if [ "$4" = - ]; then host=$2 port=$3 behind='' number=''; else host=${4%:*} port=${4##*:} behind=$2 number=$3; fi
  name_is_known "$host" "$1" || return
  said=$(connect "$host" "$port" "$behind" "$number" 2>&1 </dev/null)
  code=$?
  case $code in 143 | 137) code=124 ;; esac
  case $behind:$code:$said in
    :*) ;;
    *:127:*) ;;
    *:connected*) code=4 said=${said#connected} ;;
    *) said="$code $said" code=5 ;;
  esac
  echo "line $1 $code" $(printf '%s' "$said" | tr '\r\n*?[' '     ' | cut -c 1-300)
}

count=0
while [ $# -ge 3 ]; do
  try $count "$1" "$2" "$3" &
  count=$((count + 1))
  shift 3
  [ $((count % 32)) -ne 0 ] || wait
done
wait
