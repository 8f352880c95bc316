"""Judge what monthly maintenance looks at: updates, the audit, who may log in and who did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from samaops.checks.registry import Context, access_check, check
from samaops.facts.maintenance_month import (
    DAY_SECONDS,
    AccessFacts,
    AccessSeen,
    AuditFacts,
    Counted,
    Key,
    LoginsFacts,
    UpdatesFacts,
)
from samaops.i18n import _, joined, ngettext, some
from samaops.model.finding import Finding
from samaops.model.quantities import duration, moment

_NAMED = 5
_LISTED = 100
# Lists that are older say nothing of what waits: apt fetches them daily where it is left to.
LISTS_DAYS = 7
# What NIST forbids since 2014, and what OpenSSH itself does not take any more.
LEAST_RSA_BITS = 2048
# A key that nobody has renewed for two years is one that nobody looks after.
OLD_KEY_DAYS = 730


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
    ).format(
        count=len(waiting), all=len(facts.updates), names=some([update.name for update in waiting], _NAMED)
    )
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
        names = some([*(facts.reboot_packages or ()), *filter(None, [facts.newer_kernel])], _NAMED)
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
        ).format(count=len(facts.stale), names=some(facts.stale, _NAMED))
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
        parts = [_("{name} is root by another name").format(name=some(twins, _NAMED))] if twins else []
        parts += [_("{name} has no password").format(name=some(empty, _NAMED))] if empty else []
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
        names = some([f"{key.user} {key.kind} {key.bits or '?'}" for key in weak], _NAMED)
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
