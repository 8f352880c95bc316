# Who may log in to a server, who has all rights, and which keys are let in. Only reads.
# Argument: a token that starts each section. As another user than root, what only root may read is missing and said.
token=$1

look() {
  section now
  date +%s
  section users
  # Also those of a directory service: the file alone does not know them.
  timeout -k 1 10 getent passwd | head -n 2000
  echo "exit $?"
  section groups
  timeout -k 1 10 getent group root sudo wheel admin docker lxd
  section shadow
  # Only how each password begins: none, locked, or one that is set.
  as_root awk -F: '{ kind = "set"; if ($2 == "") kind = "empty"; else if ($2 ~ /^[!*]/) kind = "locked"; print $1 "\t" kind }' /etc/shadow
  echo "exit $?"
  section sudoers
  as_root sh -c 'cat /etc/sudoers /etc/sudoers.d/* 2>/dev/null' | grep -vE '^[[:space:]]*(#|$|Defaults)' | head -n 200
  as_root true && echo 'exit 0'  # without the file nobody has rights by it
  section sshd
  allowed=$(as_root timeout -k 1 5 sh -c 'PATH=$PATH:/usr/sbin:/sbin sshd -T' 2>/dev/null)
  printf '%s\n' "$allowed" | grep -E '^(permitrootlogin|passwordauthentication|authorizedkeysfile|kbdinteractiveauthentication) '
  # Where sshd looks for keys: %u is the user, %h his home, in which the others begin.
  places=$(printf '%s\n' "$allowed" | sed -n 's/^authorizedkeysfile //p')
  section keys
  timeout -k 1 10 getent passwd | head -n 2000 | while IFS=: read -r user _ number _ _ home shell; do
    case $shell in *nologin | *false | '') continue ;; esac
    for place in ${places:-.ssh/authorized_keys .ssh/authorized_keys2}; do
      file=$(printf '%s' "$place" | sed -e "s|%u|$user|g" -e "s|%h|$home|g")
      case $file in /*) ;; *) file=$home/$file ;; esac
      as_root test -f "$file" || continue
      at=$(as_root stat -L -c %Y -- "$file")
      as_root cat -- "$file" | grep -vE '^[[:space:]]*(#|$)' | head -n 200 | while IFS= read -r line; do
        print=$(printf '%s\n' "$line" | ssh-keygen -lf - 2>/dev/null) || print="? unreadable"
        printf '%s\t%s\t%s\n' "$user" "$at" "$print"
      done
    done
  done
  as_root true && echo 'exit 0'
}

look </dev/null
