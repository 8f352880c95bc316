"""Judge how the servers are kept and exposed: releases, versions, ports, secrets, TLS, how containers run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from samaops.checks.registry import Context, access_check, check
from samaops.facts.maintenance_month import (
    Listening,
    SafetyFacts,
)
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.i18n import _, joined, ngettext, some
from samaops.model.finding import Finding
from samaops.site import exposure

_NAMED = 5
_LISTED = 100


@access_check("maintenance.safety.release", SafetyFacts)
def release(facts: SafetyFacts, context: Context) -> Iterator[Finding]:
    ends = _ENDS.get(facts.release)
    if not facts.release:
        yield context.not_given("/etc/os-release")
        return
    if ends is None:
        title = _("{name}: until when it is supported is not known here").format(name=facts.release)
        yield context.ok(title, evidence={"release": facts.release})
        return
    evidence = {"release": facts.release, "supported_until": ends.isoformat()}
    if context.snapshot.taken_at.date() > ends:
        title = _("{name} gets no security updates since {date}").format(
            name=facts.release, date=ends.isoformat()
        )
        yield context.warn(title, evidence=evidence)
        return
    title = _("{name} is supported until {date}").format(name=facts.release, date=ends.isoformat())
    yield context.ok(title, evidence=evidence)


# The last day of security updates that come without a contract (LTS of Debian counted, ESM of Ubuntu not).
_ENDS = {
    "debian 10": date(2024, 6, 30),
    "debian 11": date(2026, 8, 31),
    "debian 12": date(2028, 6, 30),
    "debian 13": date(2030, 6, 30),
    "ubuntu 18.04": date(2023, 5, 31),
    "ubuntu 20.04": date(2025, 5, 31),
    "ubuntu 22.04": date(2027, 4, 30),
    "ubuntu 24.04": date(2029, 4, 30),
}


# The last day of PostgreSQL's own support, by its first number: https://www.postgresql.org/support/versioning/
_POSTGRESQL_ENDS = {
    12: date(2024, 11, 21),
    13: date(2025, 11, 13),
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}
# The last one of MinIO's community edition, which closes CVE-2025-62506; it gets no other.
_MINIO_LAST = "2025-10-15"
_MINIO = re.compile(r"minio[^:]*:RELEASE\.(?P<date>\d{4}-\d\d-\d\d)")


@check("maintenance.safety.versions", Snapshot)
def versions(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    """Judge which services get no fixes any more, as far as their versions are seen and their ends are known."""
    seen: dict[str, str] = {}
    bad: list[str] = []
    today = snapshot.taken_at.date()
    for _observation, facts in snapshot.facts_of(PostgresFacts):
        version = facts.version.partition(" ")[0]
        seen["PostgreSQL"] = version
        ends = _POSTGRESQL_ENDS.get(facts.version_number // 10000)
        if ends is not None and today > ends:
            text = _("PostgreSQL {version} gets no fixes since {date}")
            bad.append(text.format(version=version, date=ends.isoformat()))
    for _observation, safety in snapshot.facts_of(SafetyFacts):
        for found in filter(None, (_MINIO.search(each.image) for each in safety.containers or ())):
            seen["MinIO"] = found["date"]
            if found["date"] < _MINIO_LAST:
                bad.append(_("MinIO of {date} has a known hole (CVE-2025-62506)").format(date=found["date"]))
    if not seen:
        return
    about = context.about("maintenance/versions")
    evidence = {"versions": seen}
    if bad:
        yield about.warn(joined(bad), value=len(bad), evidence=evidence)
    else:
        names = ", ".join(f"{name} {version}" for name, version in seen.items())
        yield about.ok(_("Versions that get fixes: {names}").format(names=names), evidence=evidence)


@check("maintenance.safety.ports", SafetyFacts, needs=("listening", "filters"), unit="ports")
def ports(facts: SafetyFacts, context: Context) -> Iterator[Finding]:
    """Judge what listens to everybody and is in no line of the guide's matrix; a packet filter may stand before it."""
    expected = exposure.ports(context.site, context.server)
    open_ports = [each for each in facts.listening or () if each.is_open_to_all]
    foreign = [each for each in open_ports if each.port not in expected]
    evidence = {
        "open": [_place(each) for each in open_ports[:_LISTED]],
        "expected": sorted(expected),
        "filters": facts.filters,
    }
    if not foreign:
        title = _("{count} ports are open to all, each one of the site's own").format(count=len(open_ports))
        yield context.ok(title, value=0, evidence=evidence)
        return
    names = some(list(dict.fromkeys(_place(each) for each in foreign)), _NAMED)
    title = ngettext(
        "{count} port is open to all that the site does not need: {names}",
        "{count} ports are open to all that the site does not need: {names}",
        len(foreign),
    ).format(count=len(foreign), names=names)
    hint = context.on_server("sudo ss -ltnp")
    if facts.filters:
        detail = _("a packet filter is at work; whether it keeps them out was not tried")
        yield context.ok(title, value=len(foreign), detail=detail, evidence=evidence)
        return
    yield context.warn(title, value=len(foreign), evidence=evidence, hint=hint)


def _place(each: Listening) -> str:
    return f"{each.port} ({each.program})"


@check("maintenance.safety.secrets", SafetyFacts, needs=("readable",), unit="files")
def secrets(facts: SafetyFacts, context: Context) -> Iterator[Finding]:
    files = facts.readable or ()
    if not files:
        yield context.ok(_("No file with secrets can be read by everybody"), value=0)
        return
    title = ngettext(
        "{count} file with secrets can be read by everybody: {names}",
        "{count} files with secrets can be read by everybody: {names}",
        len(files),
    ).format(count=len(files), names=some([file.path for file in files], 3))
    evidence = {"files": {file.path: file.mode for file in files[:_LISTED]}}
    hint = context.on_server("sudo ls -l " + files[0].path) if files[0].path.isprintable() else None
    yield context.warn(title, value=len(files), evidence=evidence, hint=hint)


@check("maintenance.safety.tls", SafetyFacts, needs=("without_tls",))
def tls(facts: SafetyFacts, context: Context) -> Iterator[Finding]:
    files = list(facts.without_tls or ())
    containers = [each for each in facts.containers or () if each.without_tls]
    names = [*files, *(f"{each.name}: {', '.join(each.without_tls)}" for each in containers)]
    evidence = {
        "files": files[:_LISTED],
        "containers": {each.name: list(each.without_tls) for each in containers},
    }
    if not names:
        yield context.ok(
            _("The verification of certificates is switched off nowhere"), value=0, evidence=evidence
        )
        return
    title = _("The verification of certificates is switched off: {names}").format(names=some(names, 3))
    yield context.crit(title, value=len(names), evidence=evidence)


# The guide's containers need no root; one that does is a limit of the site's own.
@check("maintenance.safety.containers", SafetyFacts, needs=("containers",), warning=1, unit="containers")
def containers(facts: SafetyFacts, context: Context) -> Iterator[Finding]:
    seen = facts.containers or ()
    privileged = [each.name for each in seen if each.is_privileged]
    as_root = [each.name for each in seen if each.user.partition(":")[0] in ("", "0", "root")]
    evidence = {"privileged": privileged[:_LISTED], "as_root": as_root[:_LISTED]}
    if privileged:
        title = _("Containers may do all that their server may: {names}").format(
            names=some(privileged, _NAMED)
        )
        yield context.crit(title, value=len(privileged), evidence=evidence)
    elif as_root:
        title = ngettext(
            "{count} container runs as root: {names}", "{count} containers run as root: {names}", len(as_root)
        ).format(count=len(as_root), names=some(as_root, _NAMED))
        yield context.above(len(as_root), title, evidence=evidence)
    else:
        title = _("None of {count} containers runs as root").format(count=len(seen))
        yield context.ok(title, value=0, evidence=evidence)
