# List what is big on some disks of a server. Changes nothing, writes nothing.
# Arguments: a token that starts each section; seconds for each search; "disks", or "any" where what follows are directories
# that need not be mount points; these.
# As another user than root, what others own is seen with sudo -n only.
token=$1 seconds=$2 which=$3
shift 3

as_root() {
  if [ "$uid" = 0 ] || ! sudo -n true 2>/dev/null; then "$@"; else sudo -n -- "$@"; fi
}

# Not before anybody who waits for the disk.
idle=
command -v ionice >/dev/null && idle='ionice -c 3'

look() {
  section now
  date +%s.%N
  for configured in "$@"; do
    mount=$(timeout -k 1 2 readlink -f -- "$configured") || continue  # a link: du would only see that
    [ "$which" = any ] && [ -e "$mount" ] ||
      [ "$(timeout -k 1 2 stat -c %m -- "$mount" 2>/dev/null)" = "$mount" ] || continue
    sizes=$(timeout -k 1 2 df -B1 --output=size,used,avail -- "$mount" 2>/dev/null | tail -n 1)
    size=${sizes#"${sizes%%[0-9]*}"}
    size=${size%% *}
    [ -n "$size" ] || continue
    # A thousandth of the disk: what is smaller fills nothing.
    threshold=$((size / 1000 + 1))
    [ "$which" = any ] && threshold=65536
    section "mount $mount"
    printf '%s %s\n' "$sizes" "$threshold"
    found=$(as_root nice -n 19 $idle timeout -k 1 "$seconds" du -xa -B1 --threshold="$threshold" -- "$mount" 2>/dev/null)
    code=$?
    printf '%s\n' "$found" | sort -rn | head -n 300
    # du answers 1 when a file vanished under its eyes
    [ "$code" -ge 124 ] && echo partial || echo 'exit 0'
  done
}

look "$@" </dev/null
