"""PgBouncer's configuration file, read as RELOAD reads it: what it sets, and what RELOAD would refuse.

What RELOAD refuses costs more than the reload: PgBouncer 1.18 puts every setting back to its default first, and stops
at the line; without its admin_users nobody is let into the console any more. It answers RELOAD all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from samaops.facts.pgbouncer import OFF, ON, PoolFile
from samaops.i18n import _

# As its parser has it: a name, "=", the rest of the line. There are no comments behind a value.
_LINE = re.compile(r"\s*(?P<key>[\w.*-]+|\"[^\"]*\")\s*=\s*(?P<value>.*?)\s*")
_INCLUDE = re.compile(r"\s*%include\s+(?P<file>\S.*?)\s*")
_SECTION = re.compile(r"\s*\[(?P<name>[^\]]*)\]\s*")
# One part of a connection string: its value may stand in quotes, doubled within.
_PART = re.compile(r"\s*(?P<key>\w+)\s*=\s*(?:'(?P<quoted>(?:[^']|'')*)'|(?P<plain>[^\s']*))\s*")
_SECTIONS = ("databases", "pgbouncer", "users", "peers")
_SECRETS = ("password",)
_WORDS = {
    "pool_mode": ("session", "transaction", "statement"),
    "auth_type": ("any", "trust", "plain", "md5", "cert", "hba", "pam", "scram-sha-256", "ldap"),
}
_SWITCHES = ("0", "1", *ON, *OFF)
_WHOLE = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def parsed(path: str, text: str, known: Mapping[str, str]) -> PoolFile:
    """Return what the file says. ``known`` are the settings in force: of which there are, and of which kind."""
    settings: dict[str, str] = {}
    databases: dict[str, Mapping[str, str]] = {}
    faults, includes, section = [], [], ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith((";", "#")):
            continue
        fault = ""
        if match := _INCLUDE.fullmatch(line):
            includes.append(match["file"])
        elif match := _SECTION.fullmatch(line):
            section = match["name"]
            fault = "" if section in _SECTIONS else _("there is no section [{name}]").format(name=section)
        elif (match := _LINE.fullmatch(line)) is None:
            fault = _("no setting, no section and no comment")
        elif section == "pgbouncer":
            settings[match["key"]] = match["value"]
            fault = _fault_of_setting(match["key"], match["value"], known)
        elif section == "databases":
            parts = _parts(match["value"])
            fault = _("no connection string") if parts is None else ""
            databases[match["key"].strip('"')] = dict(parts or ())
        if fault:
            faults.append(_("line {number}: {fault}").format(number=number, fault=fault))
    return PoolFile(path, settings, databases, tuple(faults), tuple(includes))


def _parts(text: str) -> Sequence[tuple[str, str]] | None:
    """Return what a connection string says, without its secrets; None where it is none."""
    parts, at = [], 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return None
        quoted, at = match["quoted"], match.end()
        value = match["plain"] if quoted is None else quoted.replace("''", "'")
        if match["key"] not in _SECRETS:
            parts.append((match["key"], value))
    return parts


def _fault_of_setting(key: str, value: str, known: Mapping[str, str]) -> str:
    """Return why PgBouncer would refuse a setting, as far as its present value tells its kind."""
    if key not in known:
        return _("PgBouncer knows no setting {name}").format(name=key)
    is_good = True
    if key in _WORDS:
        is_good = value in _WORDS[key]
    elif _WHOLE.fullmatch(known[key]):
        is_switch = known[key] in ("0", "1") and value.lower() in _SWITCHES
        is_good = is_switch or bool(_NUMBER.fullmatch(value))
    return "" if is_good else _("{name} cannot be {value!r}").format(name=key, value=value)
