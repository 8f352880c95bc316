# Hold a lock on this server for somebody who is elsewhere, as long as he is there; or look who holds it.
# Arguments: hold or look, the lock file, and after how many seconds without a word from him he is taken for gone.
# Standard input: a line with his name, then any line now and then. Standard output: one line for each, marked so
# that what a log-in prints of its own is not taken for an answer.
# Its directory is one to which nobody may write but its owner and group: nobody else can hold the lock. Root makes the
# usual one where it is missing; anybody else then has one of his own. Nobody else gets descriptor 9, the lock.
file=$2 silence=$3
cannot() { printf 'samaops-lock: cannot %s\n' "$1" | head -n 1; exit 0; }
taken() {
  printf 'samaops-lock: taken '
  if [ -s "$file" ]; then head -c 4000 "$file" | tr -d '\n'; else holder; fi
  echo
  exit 0
}
# Whom the kernel names where nobody has written who he is: who took it, or who has it from him.
holder() {
  inode=$(stat -c %i "$file")
  pid=$(while read -r _ kind _ _ pid place _; do
    [ "$kind" = FLOCK ] && [ "${place##*:}" = "$inode" ] && echo "$pid" && break
  done </proc/locks)
  if [ ! -d "/proc/${pid:-none}" ]; then
    for open in /proc/[0-9]*/fd/*; do
      [ "$open" -ef "$file" ] && [ "${open#"/proc/$$/"}" = "$open" ] || continue
      pid=${open#/proc/} pid=${pid%%/*}
      break
    done
  fi
  user=$(stat -c %U "/proc/${pid:-none}" 2>/dev/null) || return 0
  printf '{"user":"%s","host":"%s","pid":%s,"process_start":"","since":"?"}' "$user" "$(uname -n)" "$pid"
}
for program in flock timeout dd stat; do
  command -v "$program" >/dev/null 2>&1 || cannot "$program: not found"
done
directory=${file%/*}
if [ "$directory" = /run/samaops ] && [ ! -e "$directory" ]; then
  if [ "$(id -u)" = 0 ]; then
    [ "$1" = look ] && exit 0
    mkdir -m 700 "$directory" && chgrp samaops "$directory" 2>/dev/null && chmod 2770 "$directory"
  else
    directory=$HOME/.local/state/samaops/locks file=$directory/${file##*/}
    [ -d "$directory" ] || [ "$1" = look ] || (umask 077 && mkdir -p "$directory")
    [ -d "$directory" ] || [ "$1" = hold ] || exit 0
  fi
fi
if [ -d "$directory" ]; then
  [ -L "$directory" ] && cannot "$directory: a link"
  access=$(stat -c '%u %a %g %G' "$directory") owner=${access%% *} access=${access#* }
  mode=${access%% *} access=${access#* }
  case $owner in 0 | "$(id -u)") ;; *) cannot "$directory: belongs to another user" ;; esac
  case $mode in *[2367]) cannot "$directory: everybody may write to it, and so hold its locks" ;; esac
  case $mode in *[2367]?)
    case " 0 $(id -G) " in *" ${access%% *} "*) ;; *)
      [ "${access#* }" = samaops ] || cannot "$directory: may be written to by the group ${access#* }, which is not ours" ;;
    esac ;;
  esac
  [ "$(id -u)" = 0 ] || { [ -w "$directory" ] && [ -x "$directory" ]; } ||
    cannot "$directory: not writable; only the group ${access#* } may write to it: usermod -aG ${access#* } $(id -un)"
fi
said=
if [ ! -e "$file" ] && [ ! -L "$file" ]; then
  if [ "$1" = look ]; then
    [ -w "$directory" ] || cannot "$directory: not writable"
    exit 0
  fi
  said=$({ umask 007; set -C; : >"$file"; } 2>&1)
fi
[ -L "$file" ] && cannot "$file: a link"
[ -e "$file" ] && [ ! -f "$file" ] && cannot "$file: not a file"
[ -f "$file" ] || cannot "$file: ${said##*"$file: "}"
[ "$(stat -c %h "$file")" -le 1 ] || cannot "$file: a link to another file"
[ -r "$file" ] || cannot "$file: Permission denied"
case $(stat -c %a "$file") in *0) ;; *) chmod 660 "$file" 2>/dev/null || cannot "$file: others may open it" ;; esac
exec 9<"$file"
if [ "$1" = look ]; then
  # Without a name in it nobody has it; a try would only keep off somebody who wants it.
  [ -s "$file" ] && ! flock -n -s 9 && taken
  exit 0
fi
tries=5
until flock -n 9; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || taken
  sleep 0.1
done
write() { dd of="$file" conv=nocreat 2>/dev/null 9<&-; }
# Somebody may have removed the file: then others lock another one.
is_ours() { [ "$file" -ef "/proc/$$/fd/9" ]; }
is_ours || cannot "$file: removed"
IFS= read -r owner || exit 1
printf '%s' "$owner" | write
echo samaops-lock: held
while timeout "$silence" sh -c 'IFS= read -r line' 9<&-; do
  is_ours || break
  echo samaops-lock: held
done
is_ours && write </dev/null
