# Set one member of a BIG-IP's pool over iControl REST, and see that it is so; or only look at it.
# Arguments: the F5's URL, the member's path, the fields to set (JSON; nothing: only look), the words that must then be
# in its session (a pattern of case). Standard input: a line with what is posted to log in, which holds the password; then
# the authority that the F5's certificate must come from (PEM; nothing: those of this server).
url=$1 member=$2 fields=$3 wanted=$4
command -v curl >/dev/null 2>&1 || { echo 'curl: not found' >&2; exit 1; }
IFS= read -r log_in
authority=$(mktemp) || exit 1
trap 'rm -f "$authority"' EXIT
cat >"$authority"
ask() {
  if [ -s "$authority" ]; then set -- --cacert "$authority" "$@"; fi
  curl -sS --fail --max-time 8 -H 'Content-Type: application/json' "$@"
}
token=$(printf '%s' "$log_in" | ask --data-binary @- "$url/mgmt/shared/authn/login") || exit 1
token=$(printf '%s' "$token" | tr -d '\n' | sed -n 's/.*"token" *: *"\([^"]*\)".*/\1/p')
[ -n "$token" ] || { echo 'the F5 gave no token' >&2; exit 1; }
as_us() { printf 'header = "X-F5-Auth-Token: %s"\n' "$token" | ask -K - "$@"; }
[ -z "$fields" ] || as_us -X PATCH -d "$fields" "$url$member" >/dev/null || exit 1
session=$(as_us "$url$member" | tr -d '\n' | sed -n 's/.*"session" *: *"\([^"]*\)".*/\1/p')
# An F5 keeps a hundred tokens for each user.
as_us -X DELETE "$url/mgmt/shared/authz/tokens/$token" >/dev/null 2>&1
[ -n "$session" ] || { echo 'the F5 showed nothing of the member' >&2; exit 1; }
[ -z "$fields" ] || case $session in *"$wanted") ;; *) echo "the F5 changed nothing: $session" >&2; exit 1 ;; esac
