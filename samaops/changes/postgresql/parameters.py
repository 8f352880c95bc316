"""Change a setting of the server that needs no restart, in postgresql.auto.conf, and have the files read again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.postgresql.not_set import reason_against
from samaops.changes.postgresql.sessions import require_configured
from samaops.changes.readings import facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts import selection
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import FileSetting, Parameter
from samaops.i18n import N_, _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.commands import as_superuser, sql_name
from samaops.site.site import Site

SET = "postgresql.set"
PART = "postgresql.parameter"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-zA-Z]*)\s*")
# How much of each unit is in the smallest, of memory and of time: PostgreSQL's own.
_UNITS: tuple[dict[str, float], ...] = (
    {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4},
    {"us": 1, "ms": 1e3, "s": 1e6, "min": 6e7, "h": 3.6e9, "d": 8.64e10},
)
_BOOLEANS = ("on", "off", "true", "false", "yes", "no", "1", "0")
# Whom it reaches, by the context of a setting: https://www.postgresql.org/docs/15/view-pg-settings.html
_EFFECT = {
    "sighup": N_("all processes of the server take it at once"),
    "superuser-backend": N_("sessions that begin from now on take it; those that are open keep theirs"),
    "backend": N_("sessions that begin from now on take it; those that are open keep theirs"),
    "superuser": N_("sessions take it at once, but for those that have set it for themselves"),
    "user": N_("sessions take it at once, but for those that have set it for themselves"),
}


class Setting(Struct, frozen=True):
    """What a setting is to be in postgresql.auto.conf; None: it is not to stand there."""

    name: str
    value: str | None


def _codes(name: str, *_more: object) -> tuple[str, ...]:
    return (selection.of(PART, name),)


@reading("postgresql.file_value", codes=_codes)
def file_value(snapshot: Snapshot, name: str) -> Scalar:
    """Return what postgresql.auto.conf says of a setting; None where it says nothing."""
    entry = _entry(_parameter(snapshot, name))
    return None if entry is None else entry.value


@reading("postgresql.follows_file", codes=_codes)
def follows_file(snapshot: Snapshot, name: str) -> Scalar:
    """Return whether the server goes by what postgresql.auto.conf says, or a role's or database's own stands before it."""
    parameter = _parameter(snapshot, name)
    entry = _entry(parameter)
    is_ours = parameter.source in ("user", "database", "database user", "client", "session")
    return entry is not None and not entry.error and (is_ours or parameter.file == entry.file)


def _parameter(snapshot: Snapshot, name: str) -> Parameter:
    parameters = facts_in(snapshot, PostgresFacts).parameters or {}
    return known(parameters.get(name.lower()), _("what the setting {name} is").format(name=name))


def _entry(parameter: Parameter) -> FileSetting | None:
    """Return what postgresql.auto.conf says last of it."""
    entries = [
        each for each in parameter.files if each.is_auto and each.name.lower() == parameter.name.lower()
    ]
    return entries[-1] if entries else None


def _looks(site: Site, name: str, value: str) -> tuple[str, ...]:
    require_configured(site)
    if not _NAME.fullmatch(name):
        raise UsageError(_("{name!r} is no name of a setting").format(name=name), hint="samaops db settings")
    reason = reason_against(name, value)
    if reason:
        text = _("{name} is not set to {value!r} here: {reason}")
        raise RefusedError(text.format(name=name, value=value, reason=_(reason)), hint="samaops db settings")
    return _codes(name)


@verb("db set", looks=_looks)
def plan_set(snapshot: Snapshot, site: Site, name: str, value: str) -> Plan:
    """Plan that a setting gets a value by ALTER SYSTEM, and the server reads its files again.

    Guards: what needs a restart, loses data or locks out; what our role may not; files that the server could not read.
    """
    server, facts = require_configured(site), facts_in(snapshot, PostgresFacts)
    if facts.version_number < 150000:
        raise RefusedError(_("before PostgreSQL 15 only a superuser may change settings of the server"))
    if not (facts.parameters or {}).get(name.lower()) and facts.parameters is not None:
        raise UsageError(_("the server has no setting {name}").format(name=name), hint="samaops db settings")
    parameter = _parameter(snapshot, name)
    title = _("Set {name} to {value}").format(name=parameter.name, value=value)
    plan = Plan("db set", (parameter.name, value), title, target=parameter.name)
    _require_settable(parameter)
    _require_valid(parameter, value)
    _require_allowed(site, parameter, facts.role)
    _require_readable_files(parameter)
    entry = _entry(parameter)
    old = None if entry is None else entry.value
    if old == value and follows_file(snapshot, parameter.name):
        text = _("{name} is {value} already, in postgresql.auto.conf")
        return replace(plan, nothing_to_do=text.format(name=parameter.name, value=value))
    says, says_nothing = _("postgresql.auto.conf says {value}"), _("postgresql.auto.conf says nothing of it")
    before = says_nothing if old is None else says.format(value=old)
    of = (parameter.name,)
    step = Step(
        "db.set",
        title,
        Risk.DISRUPTIVE,
        operation=setting(parameter.name, value, server),
        undo=setting(parameter.name, old, server),
        before=(Condition("postgresql.file_value", of, old, before),),
        after=(
            Condition("postgresql.file_value", of, value, says.format(value=value)),
            Condition("postgresql.follows_file", of, True, _("the server goes by it")),
        ),
        servers=(),
    )
    return replace(plan, steps=(step,), notes=tuple(_notes(parameter)))


def setting(name: str, value: str | None, server: str) -> Operation:
    """Return the operation that writes a setting, or takes it out, and has the files read again."""
    return Operation(SET, to_builtins(Setting(name, value)), server)


def _require_settable(parameter: Parameter) -> None:
    if parameter.context in ("postmaster", "internal"):
        reason = (
            _("it takes effect by a restart alone")
            if parameter.context == "postmaster"
            else _("it is fixed when the server is built or its data made")
        )
    elif parameter.source in ("command line", "environment variable"):
        reason = _("the server was started with it ({source}), and that stands before every file")
        reason = reason.format(source=parameter.source)
    else:
        return
    text = _("{name} is not set: {reason}")
    raise RefusedError(text.format(name=parameter.name, reason=reason), hint="samaops db settings")


def _require_valid(parameter: Parameter, value: str) -> None:
    """Raise UsageError for a value that the server would refuse, with what it may be; by what the server says of it."""
    if not value.isprintable():
        is_valid = False
    elif parameter.type == "bool":
        is_valid = value.strip().lower() in _BOOLEANS
    elif parameter.type == "enum":
        is_valid = value.lower() in (*(each.lower() for each in parameter.values), *_BOOLEANS)
    elif parameter.type in ("integer", "real"):
        is_valid = _is_in_range(parameter, value)
    else:
        is_valid = True
    if not is_valid:
        text = _("{name} cannot be {value!r}: {range}")
        range_ = _range(parameter)
        raise UsageError(
            text.format(name=parameter.name, value=value, range=range_), hint="samaops db settings"
        )


def _is_in_range(parameter: Parameter, value: str) -> bool:
    match = _NUMBER.fullmatch(value)
    if match is None:
        return False
    number, unit = float(match[1]), match[2]
    if unit:
        share = _share(unit, parameter.unit)
        if share is None:
            return False
        number *= share
    if parameter.type == "integer":
        number = round(number)
    return float(parameter.least or "-inf") <= number <= float(parameter.most or "inf")


def _share(unit: str, base: str) -> float | None:
    """Return how many of its own unit (as ``8kB``) one of another is; None where they do not go together."""
    size = re.fullmatch(r"(\d*)([a-zA-Z]+)", base)
    for units in _UNITS:
        if size and size[2] in units and unit in units:
            return units[unit] / (units[size[2]] * int(size[1] or 1))
    return None


def _range(parameter: Parameter) -> str:
    if parameter.type in ("bool", "enum"):
        return _("one of {values}").format(values=", ".join(parameter.values or ("on", "off")))
    text = _("from {least} to {most} {unit}")
    return text.format(least=parameter.least, most=parameter.most, unit=parameter.unit).strip()


def _require_allowed(site: Site, parameter: Parameter, role: str) -> None:
    missing = [
        (is_there, grant)
        for is_there, grant in (
            (parameter.may_alter, f"GRANT ALTER SYSTEM ON PARAMETER {parameter.name} TO {sql_name(role)}"),
            (parameter.may_reload, f"GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {sql_name(role)}"),
            (parameter.may_read_files, f"GRANT SELECT ON pg_file_settings TO {sql_name(role)}"),
            (
                parameter.may_read_files,
                f"GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO {sql_name(role)}",
            ),
        )
        if not is_there
    ]
    if missing:
        grants = "; ".join(grant for _is_there, grant in missing)
        text = _("our role may not set {name}; what is missing: {grants}")
        raise RefusedError(text.format(name=parameter.name, grants=grants), hint=as_superuser(site, grants))


def _require_readable_files(parameter: Parameter) -> None:
    for entry in parameter.files:
        if entry.stops_reload:
            text = _(
                "{file}, line {line}: {name}: {error}; as long as this stands there, a reload changes nothing"
            )
            words = {"file": entry.file, "line": entry.line, "name": entry.name or "?", "error": entry.error}
            raise RefusedError(text.format(**words), hint="samaops db settings")


def _notes(parameter: Parameter) -> Iterator[str]:
    text = _("it is {shown} now ({source}); it may be {range}")
    range_ = _range(parameter) if parameter.type != "string" else _("a text")
    yield text.format(shown=parameter.shown or "''", source=parameter.source, range=range_)
    yield _(_EFFECT[parameter.context])
    for override in parameter.overrides:
        yield _("this stands before it: {override}").format(override=override)
    for entry in parameter.files:
        if entry.error and not entry.stops_reload:
            text = _("{file}, line {line}: {name} is not applied: {error}")
            yield text.format(file=entry.file, line=entry.line, name=entry.name, error=entry.error)
