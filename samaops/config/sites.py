"""Where the configurations of several sites are: one file a site, ``NAME.toml``, in a directory of sites."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from samaops.config import keys, load, places
from samaops.config.load import Configuration
from samaops.errors import ConfigurationError, reason_of
from samaops.i18n import _, joined

VARIABLE = "SAMAOPS_SITES"
ALL = "all"
_SYSTEM_WIDE = Path("/etc/samaops/sites")
# It stands before subjects, in the names of files and locks, and on command lines.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def directories() -> list[Path]:
    """Return where sites are looked for: the directory that SAMAOPS_SITES names, else one's own, then the machine's."""
    named = os.environ.get(VARIABLE)
    if named:
        return [Path(named)]
    found = []
    with suppress(ConfigurationError):  # who has no home has no own sites
        found.append(places.configuration().parent / "sites")
    return [*found, _SYSTEM_WIDE]


def all_of() -> dict[str, Path]:
    """Return the file of each site by its name, in the order of the names; of two, that in the first directory.

    Raises ConfigurationError where a directory cannot be read: a site that is not seen is not one that is not there.
    """
    found: dict[str, Path] = {}
    for directory in directories():
        for path in _configurations_in(directory):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _configurations_in(directory: Path) -> list[Path]:
    try:
        paths = list(directory.iterdir())
    except FileNotFoundError:
        if os.environ.get(VARIABLE):
            raise _unreadable(directory, _("No such file or directory")) from None
        return []
    except OSError as error:
        raise _unreadable(directory, reason_of(error)) from None
    return [path for path in paths if path.suffix == ".toml" and not path.name.startswith(".")]


def _unreadable(directory: Path, reason: str) -> ConfigurationError:
    text = _("{path}: the directory of the sites cannot be read: {reason}")
    return ConfigurationError(text.format(path=directory, reason=reason))


def find(name: str) -> Path:
    """Return the file of a site. Raises ConfigurationError, with the sites that there are."""
    known = all_of()
    if name in known and _NAME.fullmatch(name) and name != ALL:
        return known[name]
    if name in known:
        raise ConfigurationError(not_a_name(name, known[name]), hint="samaops sites")
    nearest = keys.nearest(name, tuple(known))
    meant = _("did you mean {meant}?").format(meant=nearest) if nearest else ""
    there = _("known: {names}").format(names=", ".join(known) or _("none"))
    looked = _("looked in {places}").format(places=", ".join(map(str, directories())))
    message = joined((_("There is no site {name!r}").format(name=name), meant or there, looked))
    raise ConfigurationError(message, hint="samaops sites")


def is_a_name(name: str) -> bool:
    """Return whether a site may be called so: its name can stand in that of a file."""
    return bool(_NAME.fullmatch(name)) and name != ALL


def place_for(name: str) -> Path:
    """Return where the file of a new site belongs. Raises ConfigurationError for what cannot name one."""
    path = directories()[0] / f"{name}.toml"
    if not _NAME.fullmatch(name) or name == ALL:
        raise ConfigurationError(not_a_name(name, path))
    return path


def not_a_name(name: str, path: Path) -> str:
    """Say what a site may be called."""
    text = _("{path}: {name!r} cannot name a site: lower case letters, digits, - and _, and not {word!r}")
    return text.format(path=path, name=name, word=ALL)


def read(name: str) -> Configuration:
    """Read and check the configuration of a site. Raises ConfigurationError, also where its file names another site.

    Locks, history and reports go by the name in the file: two sites that are both called alike would be taken for one.
    """
    path = find(name)
    configuration = load.read(path)
    if configuration.settings.site != name:
        text = _('{path}: site: {other!r}, in the file of {name!r}: write site = "{name}"')
        if "site" not in configuration.settings.model_fields_set:
            text = _('{path}: it names no site: write site = "{name}"')
        raise ConfigurationError(text.format(path=path, other=configuration.settings.site, name=name))
    return configuration


def which() -> ConfigurationError | None:
    """Return what to answer whoever named no site and has no configuration but those of sites; None without any."""
    with suppress(ConfigurationError):
        names = list(all_of())
        if names:
            usable = [name for name in names if _NAME.fullmatch(name) and name != ALL]
            text = _("Which site? There is no configuration of one alone, and these sites: {names}")
            hint = f"samaops --site {usable[0]} diagnose" if usable else "samaops sites"
            return ConfigurationError(text.format(names=", ".join(names)), hint=hint)
    return None
