"""Where a user's own files are: under the XDG directories, else under the home; some users have neither."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from samaops.errors import ConfigurationError
from samaops.i18n import _

# Where a package of ours has its environments (packaging/setup.sh).
PACKAGED = Path("/usr/lib/samaops")


def is_packaged() -> bool:
    """Return whether this program was installed by its package or bundle, whose environment each upgrade makes anew."""
    return Path(sys.prefix).is_relative_to(PACKAGED)


def how_to_add_the_lab() -> str:
    """Return how the libraries of the lab are added to this program."""
    if is_packaged():  # what pip put there would be gone with the next version
        return _(
            "the lab runs from a clone, or from a package that was built there: scripts/package --extra lab"
        )
    return "pip install 'samaops[lab]'"


def home() -> Path | None:
    """Return the home of whoever runs this; None for a user without one, as a bare number in a container."""
    named = Path(os.environ.get("HOME", ""))
    if named.is_absolute():
        return named
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def state() -> Path:
    """Return where samaops keeps what it has done and seen. Raises ConfigurationError when there is no such place."""
    return _under("XDG_STATE_HOME", ".local/state") / "samaops"


def configuration() -> Path:
    """Return where a user's own configuration belongs. Raises ConfigurationError when there is no such place."""
    return _under("XDG_CONFIG_HOME", ".config") / "samaops" / "config.toml"


def ssh() -> Path:
    """Return where ssh keeps a user's keys and known hosts; a place that does not exist when there is no home."""
    return (home() or Path("/nonexistent")) / ".ssh"  # the name that such users have as their home


def _under(variable: str, below_home: str) -> Path:
    named = os.environ.get(variable)
    if named:
        return Path(named)
    directory = home()
    if directory is None:
        raise ConfigurationError(
            _("There is no place for own files: HOME is not set, and user {number} has no home").format(
                number=os.getuid()
            ),
            hint=f"HOME=…   {variable}=…",
        )
    return directory / below_home
