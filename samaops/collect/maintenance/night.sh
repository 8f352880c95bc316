# What a server tells of a time: who logged in, who was refused, who became root; keys and containers of it. Only reads.
# Arguments: a token that starts each section; from when to when, in seconds since the epoch; seconds for a docker command.
# The journal tells it, else /var/log/auth.log and those before it; where neither is there, nobody knows.
token=$1 since=$2 until=$3 seconds=$4
minutes=$(((until - since) / 60 + 2))

# Lines "SECONDS HOST PROGRAM[PID]: .." as how often, first, last, what: ports, fingerprints and commands left out. The program is
# that at its place: whoever is refused chooses his name, and may call himself "sshd[1]: Accepted".
told() {
  grep -aE '^[0-9.]+ [^ ]+ (sshd(-session)?\[[0-9]+\]: (Accepted|Failed|Connection closed by (authenticating|invalid) user)|sudo(\[[0-9]+\])?: .*COMMAND=)' |
    sed -E -e 's/^([0-9]+)[^ ]* [^ ]+ sshd(-session)?\[[0-9]+\]: /\1 ssh /' \
      -e 's/^([0-9]+)[^ ]* [^ ]+ sudo(\[[0-9]+\])?: +/\1 sudo /' \
      -e 's/^(.*) port [0-9]+.*$/\1/' -e 's/^([0-9]+ sudo [^ ]+) :.*$/\1/' |
    awk '{ at = $1; sub(/^[0-9]+ /, "")
           if (!($0 in count)) { if (kinds >= 400) { left++; next } kinds++; first[$0] = at }
           count[$0]++; last[$0] = at }
         END { for (text in count) print count[text] "\t" first[text] "\t" last[text] "\t" text
               if (left) print left "\t\t\tleft" }'
}

# The files of the time, each line with its seconds: what their stamps look like is written down minute by minute.
from_files() {
  {
    seq "$((since / 60 * 60))" 60 "$until" | sed 's/^/@/' | LC_ALL=C date -f - '+%s|%b %e %H:%M|%Y-%m-%dT%H:%M'
    echo '@lines'
    as_root find /var/log -maxdepth 1 -name 'auth.log*' -newermt "@$since" -printf '%T@ %p\n' | sort -n | cut -d ' ' -f 2- |
      while IFS= read -r file; do
        case $file in *.gz) as_root gzip -dc -- "$file" ;; *) as_root cat -- "$file" ;; esac
      done
  } | awk -v since="$since" -v until="$until" '
    !begun { if ($0 == "@lines") begun = 1; else { split($0, stamp, "|"); at[stamp[2]] = at[stamp[3]] = stamp[1] } next }
    { moment = ""
      if (substr($0, 1, 12) in at) { moment = at[substr($0, 1, 12)] + substr($0, 14, 2); rest = substr($0, 17) }
      else if (substr($0, 1, 16) in at) { moment = at[substr($0, 1, 16)] + substr($0, 18, 2); rest = $0; sub(/^[^ ]+ /, "", rest) }
      if (moment != "" && moment >= since && moment < until) printf "%d %s\n", moment, rest }'
}

journal_of_time() {
  as_root timeout -k 1 15 journalctl -q --since "@$since" --until "@$until" -o short-unix \
    _COMM=sshd + _COMM=sshd-session + _COMM=sudo
}

log_ins() {
  section source
  if command -v journalctl >/dev/null && [ -n "$(as_root timeout -k 1 10 journalctl -q -n 1 -o short-unix 2>/dev/null)" ]; then
    echo journal
    section oldest
    as_root timeout -k 1 10 journalctl -q -o short-unix 2>/dev/null | head -n 1 | cut -d ' ' -f 1
    section lines
    # What was cut off by its time is not all that was logged.
    { code=$({ { journal_of_time 2>/dev/null; echo $? >&4; } | told >&3; } 4>&1); } 3>&1
    case $code in 124 | 137) echo "exit $code" ;; *) echo 'exit 0' ;; esac
    return
  fi
  as_root test -e /var/log/auth.log || { echo absent; return; }
  echo /var/log/auth.log
  section oldest
  section lines
  [ "$minutes" -le 50000 ] || { echo 'error: files are read for at most 34 days' >&2; echo 'exit 1'; return; }
  from_files | told
  echo 'exit 0'
}

keys() {
  section keys
  places=$(as_root timeout -k 1 5 sh -c 'PATH=$PATH:/usr/sbin:/sbin sshd -T' 2>/dev/null | sed -n 's/^authorizedkeysfile //p')
  timeout -k 1 10 getent passwd | head -n 2000 | while IFS=: read -r user _ _ _ _ home shell; do
    case $shell in *nologin | *false | '') continue ;; esac
    for place in ${places:-.ssh/authorized_keys .ssh/authorized_keys2}; do
      file=$(printf '%s' "$place" | sed -e "s|%u|$user|g" -e "s|%h|$home|g")
      case $file in /*) ;; *) file=$home/$file ;; esac
      at=$(as_root stat -L -c %Y -- "$file" 2>/dev/null) || continue
      [ "$at" -ge "$since" ] && [ "$at" -lt "$until" ] || continue
      printf '%s\t%s\t%s\n' "$user" "$at" "$(as_root grep -cvE '^[[:space:]]*(#|$)' -- "$file")"
    done
  done
  as_root true && echo 'exit 0'
}

containers() {
  section containers
  has_docker || { echo 'exit 127'; return; }
  ask ps -a -q --no-trunc
  [ "$code" = 0 ] || { echo "exit $code"; return; }
  # One that ends between the two commands is an error for docker, which prints the others all the same.
  made=$(printf '%s\n' "$answer" | xargs -r -n 200 $docker inspect --format \
    '{{.Created}}{{"\t"}}{{.Name}}{{"\t"}}{{.Config.Image}}{{"\t"}}{{.Image}}{{"\t"}}{{index .Config.Labels "com.docker.compose.oneoff"}}' 2>/dev/null)
  # It names containers and tells of none of them: no answer in time.
  [ -n "$made" ] || [ -z "$answer" ] || { echo 'exit 124'; return; }
  printf '%s\n' "$made"
  echo 'exit 0'
}

look() {
  log_ins
  keys
  containers
}

look </dev/null
