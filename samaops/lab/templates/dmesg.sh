#!/bin/sh
# The kernel's log as one server of the lab has it. The machine's is everybody's: of a memory kill only those at the
# limits of this server's containers are its own. Nothing else is told apart, so nothing else is shown; without the
# right to read the machine's there is nothing at all.
log=$(/run/dmesg-of-the-machine "$@" 2>/dev/null)
printf '%s\n' "$log" | awk -v group="/{{ control_group }}/" '
  NR == 1 { print; next }
  /oom-kill:/ && index($0, group) && match($0, /,pid=[0-9]+/) {
    print
    killed["Killed process " substr($0, RSTART + 5, RLENGTH - 5) " "] = 1
  }
  /Killed process/ { for (words in killed) if (index($0, words)) { print; delete killed[words] } }'
