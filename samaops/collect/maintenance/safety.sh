# How a server is exposed: what listens, which secrets others may read, what containers may do, where TLS trusts anyone.
# Only reads; no secret is printed, only the names of files and of variables.
# Arguments: a token that starts each section; whether containers run here, 1 or 0; the directories of the application.
token=$1 has_containers=$2
shift 2

look() {
  section release
  (. /etc/os-release 2>/dev/null && printf '%s %s\n' "$ID" "${VERSION_ID:-$VERSION_CODENAME}")
  section listening
  as_root timeout -k 1 5 ss -H -l -t -n -p
  echo "exit $?"
  section filters
  # Whether anything at all is dropped or refused on the way in.
  as_root timeout -k 1 5 sh -c 'PATH=$PATH:/usr/sbin:/sbin
    if command -v nft >/dev/null; then nft list ruleset; fi
    if command -v iptables-save >/dev/null; then iptables-save; fi
    command -v nft >/dev/null || command -v iptables-save >/dev/null' |
    grep -cE 'hook input.*policy drop|^:INPUT (DROP|REJECT)|-A (INPUT|DOCKER-USER) .*-j (DROP|REJECT)|^[[:space:]]+(.* )?(drop|reject)( |$)'
  as_root true && echo 'exit 0'
  section readable
  as_root timeout -k 1 20 find -L "$@" /etc/pgbouncer /etc/samaops -maxdepth 3 -type f -perm /o+r \
    \( -name '.env' -o -name '*.env' -o -name '.env.*' -o -name '*.key' -o -name 'userlist.txt' -o -name '.pgpass' \
    -o -name 'id_rsa' -o -name 'id_ed25519' -o -name '*secret*.json' -o -name '*secret*.txt' -o -name '*secret*.y*ml' -o -name '*secret*.toml' -o -name '*credentials*.json' -o -name '*firebase*.json' \) \
    ! -name '*.example' ! -name '*.sample' ! -name '*.pub' -printf '%m\t%p\n' 2>/dev/null | head -n 200
  as_root true && echo 'exit 0'
  section without_tls
  as_root timeout -k 1 20 grep -rlIsE --include='.env*' --include='*.env' --include='*compose*.yml' --include='*compose*.yaml' --include='sitecustomize.py' \
    "(REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_FILE)[\"' ]*[=:][[:space:]]*(''|\"\")?[[:space:]]*$|PYTHONHTTPSVERIFY[\"' ]*[=:] *[\"']?0|NODE_TLS_REJECT_UNAUTHORIZED[\"' ]*[=:] *[\"']?0|_create_unverified_context|verify *= *False" \
    "$@" | head -n 100
  as_root true && echo 'exit 0'
  section containers
  [ "$has_containers" = 1 ] || { echo 'exit 0'; return; }
  command -v docker >/dev/null || { echo 'exit 127'; return; }
  names=$(as_root timeout -k 1 8 docker ps -q) || { echo 'exit 1'; return; }
  # Of the environment only the names of what switches verification off; its values stay there.
  [ -z "$names" ] || as_root timeout -k 1 15 docker inspect --format \
    '{{json .Name}} {{json .Config.User}} {{json .HostConfig.Privileged}} {{json .Config.Image}}{{range .Config.Env}} {{json .}}{{end}}' $names |
    awk '{
      line = $1 " " $2 " " $3 " " $4
      for (i = 5; i <= NF; i++)
        if ($i ~ /^"(PYTHONHTTPSVERIFY|NODE_TLS_REJECT_UNAUTHORIZED)=0"$/ || $i ~ /^"(REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)="$/ || $i ~ /^"GIT_SSL_NO_VERIFY=/) {
          split($i, part, "="); line = line " " substr(part[1], 2)
        }
      print line
    }'
  echo "exit $?"
}

look "$@" </dev/null
