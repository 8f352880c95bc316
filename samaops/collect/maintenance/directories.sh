# List what is big on some disks of a server. Changes nothing, writes nothing.
# Arguments: a token that starts each section; seconds for each search; the mount points.
# As another user than root, what others own is seen with sudo -n only.
token=$1 seconds=$2
shift 2
uid=$(id -u)

as_root() {
  if [ "$uid" = 0 ] || ! sudo -n true 2>/dev/null; then "$@"; else sudo -n -- "$@"; fi
}

look() {
  section now
  date +%s.%N
  for configured in "$@"; do
    mount=$(timeout -k 1 2 readlink -f -- "$configured") || continue  # a link: du would only see that
    [ "$(timeout -k 1 2 stat -c %m -- "$mount" 2>/dev/null)" = "$mount" ] || continue
    sizes=$(timeout -k 1 2 df -B1 --output=size,used,avail -- "$mount" 2>/dev/null | tail -n 1)
    size=${sizes#"${sizes%%[0-9]*}"}
    size=${size%% *}
    [ -n "$size" ] || continue
    # A thousandth of the disk: what is smaller fills nothing.
    threshold=$((size / 1000 + 1))
    section "mount $mount"
    printf '%s %s\n' "$sizes" "$threshold"
    found=$(as_root nice -n 19 timeout -k 1 "$seconds" du -xa -B1 --threshold="$threshold" -- "$mount" 2>/dev/null)
    code=$?
    printf '%s\n' "$found" | sort -rn | head -n 300
    # du answers 1 when a file vanished under its eyes
    [ "$code" -ge 124 ] && echo partial || echo 'exit 0'
  done
}

look "$@" </dev/null
