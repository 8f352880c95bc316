# Read what samaops wants to know of one server, in one go. Changes nothing, writes nothing.
# Arguments: a token that starts each section; what to look for when a file system is nearly full ("deleted",
# "biggest") and whether at "files" too, or "-"; the percentage that is nearly full; then the configured mount points.
# As another user than root, the kernel's log, other users' open files and their directories need sudo -n.
token=$1 costly=$2 nearly_full=$3
shift 3

columns=fstype,size,used,avail,itotal,iused,target

# A configured mount is asked for by name: of several mounts of one disk df lists one.
# GNU timeout answers 124, or 137 when it had to kill: then each is asked alone, so that only what hangs is missing.
file_systems() {
  LC_ALL=C timeout -k 1 2 df -B1 --output=$columns
  case $? in
    124 | 137) echo hung; each_file_system ;;
    *) [ $# = 0 ] || LC_ALL=C timeout -k 1 1 df -B1 --output=$columns -- "$@" 2>/dev/null ;;
  esac
}

each_file_system() {
  awk '$3 !~ /^(proc|sysfs|devpts|devtmpfs|tmpfs|cgroup2?|mqueue|nsfs|squashfs|overlay|autofs)$/ { print $2 }' \
    /proc/self/mounts | head -n 40 | {
    while read -r escaped; do
      point=$(printf '%b' "$(printf '%s' "$escaped" | sed 's/\\\([0-7]\)/\\0\1/g')")
      LC_ALL=C timeout -k 1 1 df -B1 --output=$columns -- "$point" | tail -n 1 &
    done
    wait
  }
}

# Where each configured path really lies: "!" before it when it is not there, "?" when that could not be seen.
resolved() {
  for path in "$@"; do
    timeout -k 1 1 readlink -e -- "$path" && continue
    [ $? = 1 ] && printf '!%s\n' "$(timeout -k 1 1 readlink -m -- "$path")" || echo '?'
  done
}

# A server that is itself a container sees its host's kernel: log and count are of everybody there.
guest_of() { cat /run/systemd/container 2>/dev/null; }

kernel_log() {
  guest=$(guest_of)
  if [ -n "$guest" ]; then
    echo unreadable
    echo "this server is a container ($guest): the kernel's log is its host's"
    return
  fi
  wanted='invoked oom-killer|oom-kill:|Out of memory|out of memory|Killed process'
  if log=$(as_root timeout -k 1 2 dmesg); then
    echo dmesg
    printf '%s\n' "$log" | head -n 1
  elif log_of_journal=$(as_root timeout -k 1 2 journalctl -k -q --no-pager -o short-unix --since=-24h 2>/dev/null) &&
    [ -n "$log_of_journal" ]; then
    log=$log_of_journal
    echo journal
    printf '%s\n' "$log" | head -n 1
  else
    echo unreadable
    return
  fi
  printf '%s\n' "$log" | grep -E "$wanted" | tail -n 90
}

# Mount points that are nearly full: those configured, and those of a real file system.
full_mounts() {
  printf '%s\n' "$mounts" | awk -v limit="$nearly_full" -v configured="$*" '
    BEGIN { n = split(configured, names, " "); for (i = 1; i <= n; i++) chosen[names[i]] = 1 }
    $2 !~ /^[0-9]+$/ || $3 + $4 == 0 { next }
    {
      line = $0; for (i = 1; i <= 6; i++) sub(/^ *[^ ]+ +/, "", line)
      # du over the network costs the other side more than it tells
      pseudo = $1 ~ /^(tmpfs|devtmpfs|overlay|squashfs|iso9660|udf|erofs|efivarfs|nfs4?|cifs|smb3|ceph|fuse[.].*)$/
      if ((!pseudo || line in chosen) && 100 * $3 / ($3 + $4) >= limit) print 100 * $3 / ($3 + $4), $2, line
    }' | sort -rn | head -n 3
}

# Mount points that are nearly out of inodes, as above.
crowded_mounts() {
  printf '%s\n' "$mounts" | awk -v limit="$nearly_full" '
    $5 !~ /^[0-9]+$/ || $6 !~ /^[0-9]+$/ || $5 == 0 || $2 !~ /^[0-9]+$/ { next }
    $1 !~ /^(devtmpfs|overlay|squashfs|iso9660|udf|erofs|efivarfs|nfs4?|cifs|smb3|ceph|fuse[.].*)$/ &&
      100 * $6 / $5 >= limit { line = $0; for (i = 1; i <= 6; i++) sub(/^ *[^ ]+ +/, "", line); print line }' | head -n 2
}

# Deleted files of at least 1 MB that a process still holds open.
deleted_files() {
  as_root timeout -k 1 3 sh -c '
    found=$(find /proc/[0-9]*/fd -maxdepth 1 -type l -lname "/*(deleted)" ! -lname "/memfd:*" ! -lname "/SYSV*" \
      ! -lname "/dev/*" -printf "%p\t%l\n" 2>/dev/null | head -n 3000)
    [ -n "$found" ] || exit 0
    large=$(printf "%s\n" "$found" | cut -f 1 | xargs -r stat -L -c "%h %d %i %b %n" 2>/dev/null |
      awk "\$1 == 0 && \$4 >= 2048")
    printf "%s\n" "$large" | while read -r links device inode blocks path; do
      [ -n "$path" ] || continue
      pid=${path#/proc/}; pid=${pid%%/*}
      flags=$(sed -n "s/^flags:[[:space:]]*//p" "/proc/$pid/fdinfo/${path##*/}" 2>/dev/null)
      printf "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n" "$device" "$inode" "$blocks" "$pid" \
        "$(cat "/proc/$pid/comm" 2>/dev/null)" "${path##*/}" "${flags:-0}" "$(readlink "$path" 2>/dev/null)"
    done'
  printf 'exit %s\n' $?
}

biggest() {
  printf '%s\n' "$nearly" | head -n 2 | while read -r _percent size mount; do
    [ -n "$mount" ] || continue
    printf 'mount %s\n' "$mount"
    found=$(as_root nice -n 19 timeout -k 1 2 du -xa -B1 --threshold=$((size / 100)) -- "$mount" 2>/dev/null)
    [ $? -ge 124 ] && echo partial
    printf '%s\n' "$found" | sort -rn | head -n 200
  done
}

# Which directories have the most files, of file systems that are nearly out of inodes.
crowded() {
  printf '%s\n' "$crowds" | while read -r mount; do
    [ -n "$mount" ] || continue
    printf 'mount %s\n' "$mount"
    found=$(as_root nice -n 19 timeout -k 1 2 du -xS --inodes -- "$mount" 2>/dev/null)
    [ $? -ge 124 ] && echo partial
    printf '%s\n' "$found" | sort -rn | head -n 8
  done
}

# Mount points on which quotas are enforced, each with their kinds (u: user, g: group, p: project) and its type.
quota_mounts() {
  awk '{
    dash = 0; for (i = 7; i <= NF; i++) if ($i == "-") { dash = i; break }
    if (!dash || seen[$3]++) next
    options = "," $(dash + 3) ","; kinds = ""
    if (options ~ /,(usrquota|usrjquota=[^,]*),/) kinds = kinds "u"
    if (options ~ /,(grpquota|grpjquota=[^,]*),/) kinds = kinds "g"
    if (options ~ /,prjquota,/) kinds = kinds "p"
    if (kinds != "") print kinds, $(dash + 1), $5
  }' /proc/self/mountinfo | head -n 4
}

# What of these quotas is used for four fifths at least: #ID, its name, KiB (used, soft, hard, grace), files (the same).
# Once one has not answered in time, the others are not asked. Names come from the local files: a directory service may hang.
quotas() {
  late=
  PATH=$PATH:/usr/sbin:/sbin
  printf '%s\n' "$quota_places" | awk '{ kinds += length($1) } END { print "kinds", kinds + 0 }'
  printf '%s\n' "$quota_places" | while read -r kinds type point; do
    [ -n "$kinds" ] || continue
    place=$(printf '%b' "$(printf '%s' "$point" | sed 's/\\\([0-7]\)/\\0\1/g')")
    for kind in u g p; do
      case $kinds in *$kind*) ;; *) continue ;; esac
      printf 'quota %s %s\n' "$kind" "$place"
      [ -z "$late" ] || { echo late; continue; }
      rows=$(quota_rows "$kind" "$type" "$place" 2>&1)
      case $? in
        0) printf '%s\n' "$rows" | grep '^#' | quotas_near_limit | quotas_named "$kind" ;;
        3) echo absent ;;
        124 | 137) late=1; echo late ;;
        *) printf 'refused %s\n' "$(printf '%s\n' "$rows" | head -n 1)" ;;
      esac
    done
  done
}

# quota's own tool reads all kinds of file systems; xfs_quota is there where XFS is.
quota_rows() {
  if command -v repquota >/dev/null; then
    case $1 in p) flag=-P ;; *) flag=-$1 ;; esac
    found=$(LC_ALL=C as_root timeout -k 1 1 repquota -O csv -n -p "$flag" -- "$3") || { left=$?; echo "$found"; return $left; }
    printf '%s\n' "$found" | awk -F, '{ print $1, $4, $5, $6, $7 + 0, $8, $9, $10, $11 + 0 }'
  elif [ "$2" = xfs ] && command -v xfs_quota >/dev/null; then
    found=$(LC_ALL=C as_root timeout -k 1 1 xfs_quota -x -c "report -$1 -n -N -b -i" "$3") || { left=$?; echo "$found"; return $left; }
    printf '%s\n' "$found" | sed 's/\[0 days\]/over/g; s/\[-*\]/0/g; s/\[[^]]*\]/later/g' |
      awk '{ print $1, $2, $3, $4, $6, $7, $8, $9, $11 }'
  else
    return 3
  fi
}

quotas_near_limit() {
  awk '$3 + $4 + $7 + $8 > 0 { limited++ }
    ($4 && $2 >= 0.8 * $4) || ($3 && $2 > $3) || ($8 && $6 >= 0.8 * $8) || ($7 && $6 > $7) { if (near++ < 20) print }
    END { print "limited", limited + 0, (near > 20 ? 20 : near + 0) }'
}

quotas_named() {
  case $1 in u) names=/etc/passwd column=3 ;; g) names=/etc/group column=3 ;; *) names=/etc/projid column=2 ;; esac
  while read -r id rest; do
    case $id in
      limited) echo "limited $rest" ;;
      *) name=$(awk -F: -v id="${id#?}" -v column=$column '$column == id { print $1; exit }' $names 2>/dev/null)
        echo "row $id ${name:--} $rest" ;;
    esac
  done
}

# Of files that are kept by hand, the time and the digest of each; what only root may read, as root.
kept_files() {
  section files
  find -H /etc/crontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/environment /etc/hosts /etc/resolv.conf /etc/fstab \
    /etc/docker /etc/default -maxdepth 1 -type f -size -1000k -printf '%T@ %p\n' -exec sha256sum {} + 2>/dev/null
  section crontabs
  [ -d /var/spool/cron ] || { echo 'exit 0'; return; }
  as_root timeout -k 1 2 find /var/spool/cron -maxdepth 2 -type f -size -1000k -printf '%T@ %p\n' \
    -exec sha256sum {} + 2>&1
  printf 'exit %s\n' $?
}

look() {
  section clock_start
  date +%s.%N
  section identity
  printf '%s\n' "$uid" "$(uname -r)" "$(cat /proc/sys/kernel/random/boot_id)" "$(nproc)"
  cat /proc/uptime /proc/loadavg
  section meminfo
  grep -E '^(MemTotal|MemAvailable|SwapTotal|SwapFree):' /proc/meminfo
  section vmstat
  if [ -n "$(guest_of)" ]; then
    grep -E '^oom_kill ' /sys/fs/cgroup/memory.events 2>/dev/null
  else
    grep -E '^oom_kill ' /proc/vmstat
  fi
  section df
  mounts=$(file_systems "$@")
  printf '%s\n' "$mounts"
  section resolved
  resolved "$@"
  section mountinfo
  cat /proc/self/mountinfo
  section fstab
  [ -r /etc/fstab ] && cat /etc/fstab
  case $costly in *files*) kept_files ;; esac
  section quotas
  quota_places=$(quota_mounts)
  quotas
  section kernel_log
  kernel_log
  nearly=$(full_mounts "$@")
  case $costly in *deleted*) [ -n "$nearly" ] && section deleted && deleted_files ;; esac
  case $costly in *biggest*)
    [ -n "$nearly" ] && section biggest && biggest
    crowds=$(crowded_mounts)
    [ -n "$crowds" ] && section crowded && crowded ;;
  esac
  section clock_end
  date +%s.%N
}

look "$@" </dev/null
