# How a server was prepared: its system, its size, who may log in, what guards it, which versions. Only reads; of files with
# secrets the mode and the name alone.
# Arguments: a token that starts each section; the users of the system that should be there.
token=$1
shift
PATH=$PATH:/usr/sbin:/sbin

of_our_sshd() {
  process=$$ steps=0
  while [ "${process:-1}" -gt 1 ] && [ $steps -lt 12 ]; do
    as_root tr '\0' ' ' <"/proc/$process/cmdline" 2>/dev/null | sed -n 's/.*sshd.* -f \([^ ]*\).*/\1/p' | grep . && return
    process=$(awk '/^PPid:/ { print $2 }' "/proc/$process/status" 2>/dev/null) steps=$((steps + 1))
  done
}

look() {
  section release
  (. /etc/os-release 2>/dev/null && printf '%s %s\n' "$ID" "${VERSION_ID:-$VERSION_CODENAME}")
  section size
  printf '%s %s\n' "$(grep -c '^processor' /proc/cpuinfo)" "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
  section disks
  timeout -k 1 3 df -P -k -l -x tmpfs -x devtmpfs -x overlay -x squashfs | awk 'NR > 1 && !seen[$1]++ { sum += $2 } END { print sum + 0 }'
  section user
  id -un
  as_root true && echo 'may sudo'
  section sshd
  # With the configuration of the sshd by which we came in: it need not be the usual one.
  configuration=$(of_our_sshd)
  as_root timeout -k 1 5 sshd -T ${configuration:+-f "$configuration"} | grep -E '^(permitrootlogin|passwordauthentication|kbdinteractiveauthentication|pubkeyauthentication) '
  section fail2ban
  if ! command -v fail2ban-server >/dev/null; then
    echo absent
  elif pgrep -x fail2ban-server >/dev/null || pgrep -f '[/]fail2ban-server' >/dev/null; then
    echo running
    as_root timeout -k 1 5 fail2ban-client status | sed -n 's/.*Jail list:[[:space:]]*//p'
  else
    echo stopped
  fi
  section firewall
  as_root timeout -k 1 5 iptables -S INPUT | sed 's/^/iptables /'
  as_root timeout -k 1 5 nft list ruleset | grep -E 'hook input' | sed 's/^[[:space:]]*/nft /'
  as_root true && { command -v iptables || command -v nft; } >/dev/null && echo 'exit 0'
  section docker
  command -v docker >/dev/null && timeout -k 1 5 docker --version
  section compose
  command -v docker >/dev/null && timeout -k 1 5 docker compose version --short 2>/dev/null ||
    { command -v docker-compose >/dev/null && timeout -k 1 5 docker-compose version --short; }
  section ports
  timeout -k 1 5 ss -H -l -t -n
  echo "exit $?"
  section users
  for name in "$@"; do
    timeout -k 1 5 getent passwd "$name" | cut -d: -f1
  done
  echo 'exit 0'
  section secrets
  as_root timeout -k 1 10 find -L /opt -maxdepth 3 -type f \
    \( -name '.env' -o -name '*.env' -o -name '.env.*' -o -name '*secret*.json' -o -name '*credentials*.json' -o -name '*firebase*.json' \) \
    ! -name '*.example' ! -name '*.sample' -printf '%m\t%u\t%p\n' | head -n 100
  as_root true && echo 'exit 0'
}

look "$@" </dev/null
