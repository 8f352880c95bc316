"""Run a program of sh on a server as another of its users: as ourselves where we are he, by root, or by sudo."""

from __future__ import annotations

import shlex

# He is in no directory that he may not enter, and has his own home: libpq looks there for passwords.
_BECOME = (
    'user=$1; shift; cd /; [ "$(id -un)" = "$user" ] && exec "$@"; '
    'HOME=$(getent passwd "$user" | cut -d : -f 6); export HOME; '
    '[ "$(id -u)" = 0 ] && exec runuser -u "$user" -- "$@"; '
    'exec sudo -n -H -u "$user" -- env LC_ALL=C "$@"'
)


def as_user(user: str, script: str, *arguments: str) -> str:
    """Return the command line that runs a script with arguments as a user of the server."""
    return shlex.join(["sh", "-c", _BECOME, "sh", user, "sh", "-c", script, "sh", *arguments])
