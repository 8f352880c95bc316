# Who logged in since a moment, from where, who was refused, and who became root. Only reads.
# Arguments: a token that starts each section; the moment, in seconds since the epoch.
# The journal tells it, else /var/log/auth.log and those before it; where neither is there, nobody knows.
token=$1 since=$2

# The lines that tell, counted: times, ports and fingerprints left out. The program is that before the first bracket: whoever is
# refused chooses his name, and may call himself "sshd[1]: Accepted".
counted() {
  grep -aE '^[^[]* (sshd(-session)?\[[0-9]+\]: (Accepted|Failed|Invalid user|Connection closed by (authenticating|invalid) user)|sudo(\[[0-9]+\])?: .*COMMAND=)' |
    sed -E -e 's/^[^[]* sshd(-session)?\[[0-9]+\]: /ssh /' -e 's/^[^[]* sudo(\[[0-9]+\])?: +/sudo /' \
      -e 's/^(.*) port [0-9]+.*$/\1/' -e 's/^(sudo [^ ]+) :.*$/\1/' |
    sort | uniq -c | sort -rn | head -n 500
}

look() {
  section now
  date +%s
  if command -v journalctl >/dev/null && as_root timeout -k 1 10 journalctl -n 1 -q >/dev/null 2>&1 &&
    [ -n "$(as_root timeout -k 1 10 journalctl -q -n 1 -o short-unix 2>/dev/null)" ]; then
    section source
    echo journal
    section oldest
    as_root timeout -k 1 20 journalctl -q -o short-unix 2>/dev/null | head -n 1 | cut -d ' ' -f 1
    section lines
    as_root timeout -k 1 120 journalctl -q --since "@$since" -o short \
      _COMM=sshd + _COMM=sshd-session + _COMM=sudo 2>/dev/null | counted
    echo 'exit 0'
    return
  fi
  section source
  as_root test -e /var/log/auth.log || { echo absent; return; }
  echo /var/log/auth.log
  section oldest
  # Each file was written until its own time; of the oldest that counts nobody knows since when.
  files=$(as_root find /var/log -maxdepth 1 -name 'auth.log*' -newermt "@$since" -printf '%T@ %p\n' | sort -n | cut -d ' ' -f 2-)
  as_root find /var/log -maxdepth 1 -name 'auth.log*' -printf '%T@\n' | sort -n | head -n 1
  section lines
  for file in $files; do
    case $file in *.gz) as_root gzip -dc -- "$file" ;; *) as_root cat -- "$file" ;; esac
  done | counted
  echo 'exit 0'
}

look "$@" </dev/null
