# What updates a server waits for, how old its package lists are, and what still runs from before the last ones. Only reads.
# Argument: a token that starts each section.
token=$1

look() {
  section now
  date +%s
  section release
  (. /etc/os-release 2>/dev/null && printf '%s %s\n' "$ID" "${VERSION_ID:-$VERSION_CODENAME}")
  section lists
  command -v apt-get || { echo 'exit 127'; return; }
  # The stamp of the last update that worked; else when an index last came from a mirror, or was seen to be the newest.
  stat -c %Y /var/lib/apt/periodic/update-success-stamp 2>/dev/null ||
    find /var/lib/apt/lists /var/lib/apt/lists/partial -maxdepth 1 -printf '%T@\n' 2>/dev/null | sort -rn | head -n 1
  section updates
  # With those that want new packages: upgrade alone hides most of them. Without the lock, and so without root.
  LC_ALL=C timeout -k 1 60 apt-get -s -o Debug::NoLocking=1 dist-upgrade
  echo "exit $?"
  section reboot
  [ -e /run/reboot-required ] && cat /run/reboot-required.pkgs 2>/dev/null && echo required
  section kernels
  uname -r
  for image in /boot/vmlinuz-*; do [ -e "$image" ] && printf '%s\n' "${image#/boot/vmlinuz-}"; done
  section stale
  # Who still has a library open that was replaced.
  as_root timeout -k 1 20 sh -c 'cd /proc && for process in [0-9]*; do
    if grep -qs "/lib.*\.so[.0-9]* (deleted)" "$process/maps"; then head -n 1 "$process/comm" 2>/dev/null; fi
  done; true' | sort | uniq -c | sort -rn | head -n 50
  as_root true && echo 'exit 0'
}

look </dev/null
