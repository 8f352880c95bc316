#!/bin/sh
# The first process of a server of the lab, in fresh mount, host name, IPC and process-id namespaces.
# Builds a root of its own out of the machine's directories, so that nothing the server does to /etc, /run,
# /data, /var/log or /opt/samaconso reaches the machine, and everything of it is gone with this process.
# Arguments: mount point of the new root, host name, address, size of /data, directory of the server, of the lab
set -eu
root=$1 name=$2 address=$3 data_size=$4 own=$5 lab=$6

mount --make-rprivate /
hostname "$name"
mount -t tmpfs -o size=64m,mode=755 lab-root "$root"

for entry in /*; do
  base=${entry#/}
  if [ -L "$entry" ]; then
    cp -P "$entry" "$root/$base"
  elif [ -d "$entry" ]; then
    case $base in
      etc) cp -a /etc "$root/etc" ;;
      proc | run | data | boot | media | lost+found) ;;
      opt)
        mkdir "$root/opt"
        for package in /opt/*; do
          [ -d "$package" ] && [ "$package" != /opt/samaconso ] || continue
          mkdir "$root$package" && mount --rbind "$package" "$root$package"
        done ;;
      *) mkdir "$root/$base" && mount --rbind "$entry" "$root/$base" ;;
    esac
  fi
done
umount -l "$root$root" 2>/dev/null || true

mkdir -p "$root/proc" "$root/run" "$root/data" "$root/opt/samaconso"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o size=64m,mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o "size=$data_size,mode=755" data "$root/data"
mount --bind "$own/opt" "$root/opt/samaconso"
mkdir -p "$root/data/logs" "$root/opt/samaconso/logs"
mount --bind "$root/data/logs" "$root/opt/samaconso/logs"
mount --bind "$own/log" "$root/var/log"
if [ ! -d "$root$lab" ]; then
  mkdir -p "$root$lab" && mount --rbind "$lab" "$root$lab"
fi

# Its own kernel log: see dmesg.sh.
if dmesg=$(command -v dmesg); then
  dmesg=$(readlink -f "$dmesg")
  cp "$dmesg" "$root/run/dmesg-of-the-machine"
  mount --bind "$own/dmesg" "$root$dmesg"
fi

mkdir -p -m 755 "$root/run/sshd" "$root/run/lock"
mkdir -p -m 3777 "$root/run/postgresql"
ln -sf /proc/mounts "$root/etc/mtab"
echo "$name" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >"$root/etc/hosts"
# A locked root ("!") may not log in with a key either.
sed -i 's/^root:!*:/root:*:/' "$root/etc/shadow"

cd "$root"
mkdir -p .machine
pivot_root . .machine
umount -l /.machine
rmdir /.machine
cd /
: >"$own/ready"
# With SIGCHLD ignored the kernel reaps the orphans of this server.
exec env --ignore-signal=CHLD sleep infinity
