"""Judge what monthly maintenance looks at: updates, the audit, who may log in and who did, how the servers are exposed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from samaops.checks.registry import Context, access_check, check
from samaops.facts.maintenance_month import (
    DAY_SECONDS,
    AccessFacts,
    AccessSeen,
    AuditFacts,
    Counted,
    Key,
    Listening,
    LoginsFacts,
    SafetyFacts,
    UpdatesFacts,
)
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.i18n import _, joined, ngettext
from samaops.model.finding import Finding
from samaops.model.quantities import duration, moment
from samaops.site import exposure

_NAMED = 5
_LISTED = 100
# Lists that are older say nothing of what waits: apt fetches them daily where it is left to.
LISTS_DAYS = 7
# What NIST forbids since 2014, and what OpenSSH itself does not take any more.
LEAST_RSA_BITS = 2048
# A key that nobody has renewed for two years is one that nobody looks after.
OLD_KEY_DAYS = 730


def _some(names: Sequence[str], most: int = _NAMED) -> str:
    return ", ".join(names[:most]) + ("…" if len(names) > most else "")


@access_check("maintenance.updates.security", UpdatesFacts, warning=1, unit="packages")
def security_updates(facts: UpdatesFacts, context: Context) -> Iterator[Finding]:
    waiting = facts.security
    evidence = {
        "security": [f"{update.name} {update.old} {update.new}" for update in waiting[:_LISTED]],
        "updates": len(facts.updates),
        "deferred": facts.deferred,
        "release": facts.release,
        "lists_at": None if facts.lists_at is None else moment(facts.lists_at),
    }
    hint = context.on_server("apt list --upgradable")
    if not waiting and _lists_days(facts) is None:
        title = _(
            "Nobody knows when the package lists were fetched: no update is known, which proves nothing"
        )
        yield context.unknown(title, evidence=evidence, hint=context.on_server("sudo apt-get update"))
        return
    if not waiting and (_lists_days(facts) or 0.0) >= LISTS_DAYS:
        text = _("No update is known by package lists that are {age} old, which proves nothing")
        title = text.format(age=duration(facts.epoch - (facts.lists_at or 0.0)))
        yield context.unknown(title, evidence=evidence, hint=context.on_server("sudo apt-get update"))
        return
    if not waiting:
        title = _("No security update is waiting; {count} others are").format(count=len(facts.updates))
        yield context.ok(title, value=0, evidence=evidence)
        return
    title = ngettext(
        "{count} security update is waiting, of {all} updates: {names}",
        "{count} security updates are waiting, of {all} updates: {names}",
        len(waiting),
    ).format(count=len(waiting), all=len(facts.updates), names=_some([update.name for update in waiting]))
    yield context.above(len(waiting), title, evidence=evidence, hint=hint)


def _lists_days(facts: UpdatesFacts) -> float | None:
    return None if facts.lists_at is None else (facts.epoch - facts.lists_at) / DAY_SECONDS


@check("maintenance.updates.lists", UpdatesFacts, warning=LISTS_DAYS, unit="d")
def package_lists(facts: UpdatesFacts, context: Context) -> Iterator[Finding]:
    days = _lists_days(facts)
    if days is None:
        yield context.unknown(_("Nobody knows when the package lists were fetched"))
        return
    title = _("The package lists were fetched {age} ago").format(age=duration(max(0.0, days) * DAY_SECONDS))
    hint = context.on_server("sudo apt-get update")
    yield context.above(round(max(0.0, days), 1), title, hint=hint)


@check("maintenance.updates.restart", UpdatesFacts)
def restart(facts: UpdatesFacts, context: Context) -> Iterator[Finding]:
    evidence = {
        "reboot_packages": list(facts.reboot_packages or ()),
        "running_kernel": facts.running_kernel,
        "newer_kernel": facts.newer_kernel,
        "stale": list(facts.stale or ())[:_LISTED],
    }
    if facts.reboot_packages is not None or facts.newer_kernel:
        names = _some([*(facts.reboot_packages or ()), *filter(None, [facts.newer_kernel])])
        title = _("The server wants a restart: {names}").format(names=names or "?")
        yield context.warn(title, evidence=evidence)
    elif facts.stale is None:
        title = _("Which services run on libraries that were replaced cannot be seen without root")
        yield context.unknown(title, evidence=evidence)
    elif facts.stale:
        title = ngettext(
            "{count} program runs on libraries that were replaced: {names}",
            "{count} programs run on libraries that were replaced: {names}",
            len(facts.stale),
        ).format(count=len(facts.stale), names=_some(facts.stale))
        yield context.warn(title, value=len(facts.stale), evidence=evidence)
    else:
        title = _("Nothing waits for a restart since the last updates")
        yield context.ok(title, evidence=evidence)


@access_check("maintenance.audit.warnings", AuditFacts, unit="warnings")
def audit(facts: AuditFacts, context: Context) -> Iterator[Finding]:
    known = set(facts.earlier.warnings) if facts.earlier else set()
    new = [issue for issue in facts.issues if issue.id not in known]
    gone = sorted(known - set(facts.now.warnings))
    evidence = {
        "warnings": {issue.id: issue.text for issue in facts.issues[:_LISTED]},
        "new": sorted({issue.id for issue in new}),
        "gone": gone,
        "suggestions": len(facts.now.suggestions),
        "new_suggestions": _new(facts.now.suggestions, facts.earlier.suggestions) if facts.earlier else None,
        "hardening_index": facts.now.index,
        "tests": facts.tests,
        "lynis": facts.version,
        "since": None if facts.earlier is None else moment(facts.earlier.at),
    }
    ids = facts.now.warnings
    words = ngettext("lynis has {count} warning", "lynis has {count} warnings", len(ids)).format(
        count=len(ids)
    )
    if facts.earlier is None:
        words += "; " + _("nothing to compare with yet")
    else:
        words += ", " + _("{new} of them new, {gone} gone").format(
            new=len({issue.id for issue in new}), gone=len(gone)
        )
    detail = joined(f"{issue.id}: {issue.text}" for issue in new[:3])
    if new:
        hint = context.on_server(f"sudo lynis show details {new[0].id}")
        yield context.warn(words, value=len(ids), detail=detail, evidence=evidence, hint=hint)
    else:
        yield context.ok(words, value=len(ids), evidence=evidence)


def _new(now: Iterable[str], then: Iterable[str]) -> list[str]:
    return sorted(set(now) - set(then))


@access_check("maintenance.access.changed", AccessFacts)
def access_changed(facts: AccessFacts, context: Context) -> Iterator[Finding]:
    now, then = facts.now, facts.earlier
    evidence = {
        "logins": list(now.logins),
        "administrators": list(now.administrators)[:_LISTED],
        "keys": [_key(key, now.at) for key in (facts.keys or ())[:_LISTED]],
        "since": None if then is None else moment(then.at),
    }
    counts = _("{logins} may log in, {keys} keys are let in").format(
        logins=len(now.logins), keys=_("unknown") if facts.keys is None else len(facts.keys)
    )
    if facts.keys is None or facts.sudo is None:
        title = _("{counts}: keys and rights of others are seen by root alone").format(counts=counts)
        yield context.unknown(title, evidence=evidence)
        return
    if then is None:
        yield context.ok(counts + "; " + _("nothing to compare with yet"), evidence=evidence)
        return
    changes = list(_changes(now, then))
    if not changes:
        title = counts + ", " + _("as {age} ago").format(age=duration(now.at - then.at))
        yield context.ok(title, evidence=evidence)
        return
    title = _("Who may log in is not as {age} ago: {changes}").format(
        age=duration(now.at - then.at), changes=joined(changes[:3]) + ("…" if len(changes) > 3 else "")
    )
    hint = context.on_server("sudo last -n 50")
    yield context.warn(
        title, value=len(changes), evidence={**evidence, "changes": changes[:_LISTED]}, hint=hint
    )


def _changes(now: AccessSeen, then: AccessSeen) -> Iterator[str]:
    parts = (
        (now.logins, then.logins, _("{name} may log in"), _("{name} may no longer log in")),
        (now.administrators, then.administrators, _("new right: {name}"), _("right gone: {name}")),
        (now.keys, then.keys, _("new key: {name}"), _("key gone: {name}")),
    )
    for after, before, new, gone in parts:
        yield from (new.format(name=name) for name in _new(after, before))
        yield from (gone.format(name=name) for name in _new(before, after))


def _key(key: Key, now: float) -> str:
    age = "" if key.at is None else f" ({duration(max(0.0, now - key.at))})"
    return f"{key.user} {key.kind} {key.bits or '?'} {key.fingerprint} {key.comment}{age}"


@check("maintenance.access.root", AccessFacts)
def root(facts: AccessFacts, context: Context) -> Iterator[Finding]:
    """Judge who is root by another name, or by nothing at all."""
    twins = [login.user for login in facts.logins if login.number == 0 and login.user != "root"]
    empty = [login.user for login in facts.logins if login.state == "empty"]
    allowed = facts.sshd.get("permitrootlogin")
    by_password = allowed == "yes" and facts.sshd.get("passwordauthentication") == "yes"
    evidence = {"uid_0": twins, "without_password": empty, "sshd": dict(facts.sshd)}
    if twins or empty:
        parts = [_("{name} is root by another name").format(name=_some(twins))] if twins else []
        parts += [_("{name} has no password").format(name=_some(empty))] if empty else []
        yield context.crit(joined(parts), evidence=evidence)
    elif any(login.state is None for login in facts.logins):
        yield context.unknown(_("Passwords are seen by root alone"), evidence=evidence)
    elif by_password:
        yield context.warn(_("sshd lets root in by a password"), evidence=evidence)
    elif allowed is None:
        title = _("No user but root has its rights; what sshd allows could not be read")
        yield context.unknown(title, evidence=evidence)
    else:
        title = _("No user but root has its number, none is without a password")
        yield context.ok(title, evidence=evidence)


@check("maintenance.access.keys", AccessFacts, warning=OLD_KEY_DAYS, unit="d")
def keys(facts: AccessFacts, context: Context) -> Iterator[Finding]:
    if facts.keys is None:
        yield context.unknown(_("Keys of others are seen by root alone"))
        return
    weak = [key for key in facts.keys if _is_weak(key)]
    evidence = {"keys": [_key(key, facts.now.at) for key in facts.keys[:_LISTED]]}
    if weak:
        names = _some([f"{key.user} {key.kind} {key.bits or '?'}" for key in weak])
        title = _("Keys that are too weak, or cannot be read, are let in: {names}").format(names=names)
        yield context.warn(title, evidence=evidence)
        return
    ages = [(facts.now.at - key.at) / DAY_SECONDS for key in facts.keys if key.at is not None]
    if not ages:
        yield context.ok(_("No key is let in"), evidence=evidence)
        return
    oldest = round(max(0.0, *ages), 1)
    title = _("{count} keys are let in; the oldest file of them is {age} old").format(
        count=len(facts.keys), age=duration(oldest * DAY_SECONDS)
    )
    yield context.above(oldest, title, evidence=evidence)


def _is_weak(key: Key) -> bool:
    return key.bits is None or key.kind == "DSA" or (key.kind == "RSA" and key.bits < LEAST_RSA_BITS)


# Addresses on the internet are tried thousands of times a day; inside, one that was refused a hundred times wants in.
@access_check("maintenance.logins.refused", LoginsFacts, warning=100, unit="log-ins")
def refused(facts: LoginsFacts, context: Context) -> Iterator[Finding]:
    failures = facts.failures_by_address
    accepted = {each.address for each in facts.accepted}
    guessed = sorted(
        {
            each.address
            for each in facts.accepted
            if each.method in ("password", "keyboard-interactive/pam")
            and failures.get(each.address, 0) >= (context.warning or 0.0)
        }
    )
    worst = max(failures.items(), key=lambda pair: pair[1], default=("", 0))
    evidence = {
        "source": facts.source,
        "since": moment(_begins(facts)),
        "accepted": [_counted(each) for each in facts.accepted[:_LISTED]],
        "refused": dict(sorted(failures.items(), key=lambda pair: -pair[1])[:_LISTED]),
        "sudo": {each.user: each.count for each in facts.sudo[:_LISTED]},
    }
    words = _(
        "{accepted} log-ins from {addresses} addresses, {refused} refused, {sudo} commands of sudo since {since}"
    )
    title = words.format(
        accepted=sum(each.count for each in facts.accepted),
        addresses=len(accepted),
        refused=sum(failures.values()),
        sudo=sum(each.count for each in facts.sudo),
        since=moment(_begins(facts)),
    )
    if facts.oldest is None:
        yield context.unknown(
            _("The log of log-ins ({source}) is empty").format(source=facts.source), evidence=evidence
        )
        return
    if guessed:
        text = _("{address} was let in by a password after {count} refusals")
        title = text.format(address=guessed[0], count=failures[guessed[0]]) + "; " + title
        yield context.crit(title, value=failures[guessed[0]], evidence=evidence)
        return
    if worst[1]:
        title += "; " + _("most refused: {address}, {count} times").format(address=worst[0], count=worst[1])
    yield context.above(worst[1], title, evidence=evidence)


def _begins(facts: LoginsFacts) -> float:
    """Return since when the log tells: what it has lost was not seen."""
    return facts.since if facts.oldest is None else max(facts.since, facts.oldest)


def _counted(each: Counted) -> str:
    return f"{each.user} {each.address} {each.method}: {each.count}"


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
    names = _some(list(dict.fromkeys(_place(each) for each in foreign)))
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
    ).format(count=len(files), names=_some([file.path for file in files], 3))
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
    title = _("The verification of certificates is switched off: {names}").format(names=_some(names, 3))
    yield context.crit(title, value=len(names), evidence=evidence)


# The guide's containers need no root; one that does is a limit of the site's own.
@check("maintenance.safety.containers", SafetyFacts, needs=("containers",), warning=1, unit="containers")
def containers(facts: SafetyFacts, context: Context) -> Iterator[Finding]:
    seen = facts.containers or ()
    privileged = [each.name for each in seen if each.is_privileged]
    as_root = [each.name for each in seen if each.user.partition(":")[0] in ("", "0", "root")]
    evidence = {"privileged": privileged[:_LISTED], "as_root": as_root[:_LISTED]}
    if privileged:
        title = _("Containers may do all that their server may: {names}").format(names=_some(privileged))
        yield context.crit(title, value=len(privileged), evidence=evidence)
    elif as_root:
        title = ngettext(
            "{count} container runs as root: {names}", "{count} containers run as root: {names}", len(as_root)
        ).format(count=len(as_root), names=_some(as_root))
        yield context.above(len(as_root), title, evidence=evidence)
    else:
        title = _("None of {count} containers runs as root").format(count=len(seen))
        yield context.ok(title, value=0, evidence=evidence)
