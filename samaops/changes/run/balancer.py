"""Take members of the balancer's pool out and put them back: an answer is no proof, what is set is read back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from msgspec import Struct, convert
from msgspec.structs import replace

from samaops.changes.balancer.members import (
    DRAIN,
    SET,
    Draining,
    Setting,
    configured,
    watchdog_server,
)
from samaops.changes.balancer.sparing import PUT_BACK, PuttingBack
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.balancer_commands import CommandControl, named
from samaops.clients.errors import ClientError
from samaops.clients.loadbalancer import FIELDS, BigIpControl
from samaops.clients.put_back_watchdog import (
    PutBackWatchdog,
    Watched,
    mark_of,
    of_bigip,
    of_commands,
)
from samaops.clients.shell import Shell
from samaops.clients.shells import ShellPool
from samaops.collect import engine, registry
from samaops.collect import loadbalancer as looks
from samaops.config.balancer_settings import BalancerCommands, BigIp
from samaops.errors import UsageError
from samaops.facts.api import ApiFacts
from samaops.facts.loadbalancer import ENABLED, OFFLINE, MemberFacts
from samaops.facts.selection import Selection
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import on_server, typed
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

_POLL_SECONDS = 0.5
# A request that was just taken has its connection a moment later: one look at none is not yet the end.
_LOOKS_AT_NONE = 2
_WATCHDOG_SECONDS = 20.0
# A restart that was begun may still happen: what serves in so many looks, a second apart, is not about to end.
_LOOKS_AT_SERVING = 3
_LOOK_SECONDS = 20.0
# The balancer, or what leads to it, said no: nothing was done.
_REFUSALS = (
    FailureKind.AUTHENTICATION,
    FailureKind.PERMISSION,
    FailureKind.SCHEME,
    FailureKind.MISSING,
    FailureKind.REFUSED,
    FailureKind.ERROR,
    FailureKind.UNAVAILABLE,
)


class _Control(Protocol):
    """The balancer, however it is controlled. All raise ClientError."""

    def members(self) -> tuple[MemberFacts, ...]: ...

    def set(self, member: str, setting: str) -> None: ...

    def watched(self, member: str, earlier: str) -> Watched: ...

    def mark(self, member: str) -> str: ...


class _BigIp(Struct, frozen=True):
    settings: BigIp
    control: BigIpControl

    def members(self) -> tuple[MemberFacts, ...]:
        return looks.members_of_bigip(self.control.member_stats(), self.control.members())

    def set(self, member: str, setting: str) -> None:
        self.control.set(member, setting)

    def watched(self, member: str, earlier: str) -> Watched:
        return of_bigip(self.settings, self.control, member, earlier)

    def mark(self, member: str) -> str:
        return mark_of(self.settings.pool, member)


class _Commands(Struct, frozen=True):
    section: BalancerCommands
    control: CommandControl

    def members(self) -> tuple[MemberFacts, ...]:
        return looks.members_of_commands(self.control.members())

    def set(self, member: str, setting: str) -> None:
        if setting == ENABLED:
            self.control.put_back(member)
        else:
            self.control.take_out(member)

    def watched(self, member: str, earlier: str) -> Watched:  # noqa: ARG002 - here it can only be enabled
        return of_commands(self.section, member)

    def mark(self, member: str) -> str:
        return mark_of(self.section.pool, member)


class _Opened(Struct, frozen=True):
    """The balancer of a site, and the server on which a watchdog works: None where there is none."""

    control: _Control
    server: str | None
    shells: ShellPool

    def watchdog(self) -> PutBackWatchdog:
        """Return who can start and end watchdogs. Raises ClientError."""
        if self.server is None:
            text = _("no server is known from which it would be put back: [loadbalancer.bigip] server")
            raise ClientError(FailureKind.MISSING, text, "watchdog")
        shell: Shell = self.shells.of(self.server)
        return PutBackWatchdog(shell)

    def member(self, name: str) -> MemberFacts:
        """Return a member as it is now. Raises ClientError."""
        return _named(self.control.members(), name)


@contextmanager
def _opened(site: Site) -> Iterator[_Opened]:
    """Yield the balancer. Raises ClientError."""
    try:
        section = configured(site)
    except UsageError as error:
        raise ClientError(FailureKind.MISSING, error.message, "loadbalancer") from error
    shells = ShellPool(site.settings)
    try:
        if section.bigip is not None:
            control = BigIpControl(section.bigip, section.timeout)
            try:
                yield _Opened(_BigIp(section.bigip, control), watchdog_server(site), shells)
            finally:
                control.close()
        elif section.commands is not None:
            commands = CommandControl(shells.of(section.commands.server), section.commands, section.timeout)
            yield _Opened(_Commands(section.commands, commands), watchdog_server(site), shells)
    finally:
        shells.close()


def _set_lines(site: Site, member: str, setting: str) -> tuple[str, ...]:
    section = configured(site)
    if section.bigip is None and section.commands is not None:
        command = section.commands.online if setting == ENABLED else section.commands.offline
        return (on_server(site, section.commands.server, named(command, member)),)
    pool = section.bigip.pool if section.bigip else ""
    words = " ".join(f"{name} {value}" for name, value in FIELDS[setting].items())
    return (f"tmsh modify ltm pool {quoted(pool)} members modify {{ {quoted(member)} {{ {words} }} }}",)


def _drain_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Draining)
    lines = _set_lines(site, of.member, OFFLINE)
    if not of.guard_seconds:
        return lines
    server = watchdog_server(site) or "?"
    guard = _("# on {server}, by itself {seconds:g} s later: {command}")
    back = " ".join(_set_lines(site, of.member, of.earlier))
    return (guard.format(server=server, seconds=of.guard_seconds, command=back), *lines)


@runs(DRAIN, lines=_drain_lines)
def drain(operation: Operation, site: Site) -> Outcome:
    """Take a member out, under a watchdog where one is asked for, and wait for its connections. Raises ClientError."""
    of = convert(operation.arguments, Draining)
    with _opened(site) as opened:
        members = opened.control.members()
        refusal = _too_few(site, members, of.member)
        if refusal:
            return Outcome(False, refusal, is_skipped=True)
        if of.guard_seconds:
            try:
                watched = opened.control.watched(of.member, of.earlier)
                opened.watchdog().start(watched, of.guard_seconds, _WATCHDOG_SECONDS)
            except ClientError as error:
                text = _("nothing would put it back if samaops died: {reason}")
                return Outcome(False, text.format(reason=error.message), is_skipped=True)
        note = "" if of.guard_seconds else _end_watchdog(opened, of.member)
        outcome = _set(opened, _named(members, of.member), OFFLINE)
        if not outcome.is_ok:
            _end_watchdog(opened, of.member)
            return outcome
        outcome = _await_end(opened, of)
        return replace(outcome, output=f"{outcome.output}; {note}") if note else outcome


@runs(SET, lines=lambda operation, site: _set_lines(site, *_member_and_setting(operation)))
def set_member(operation: Operation, site: Site) -> Outcome:
    """Set a member, and see that it is set; its watchdog ends. Raises ClientError."""
    name, setting = _member_and_setting(operation)
    with _opened(site) as opened:
        members = opened.control.members()
        refusal = "" if setting == ENABLED else _too_few(site, members, name)
        if refusal:
            return Outcome(False, refusal, is_skipped=True)
        outcome = _set(opened, _named(members, name), setting)
        note = _end_watchdog(opened, name) if outcome.is_ok else ""
        return Outcome(True, note) if note else outcome


@runs(
    PUT_BACK, lines=lambda operation, site: _put_back_lines(convert(operation.arguments, PuttingBack), site)
)
def put_back(operation: Operation, site: Site) -> Outcome:
    """Set a member as it was once its API instance serves; one that does not stays out, which is said. Raises ClientError."""
    of = convert(operation.arguments, PuttingBack)
    is_well = of.setting == OFFLINE or _serves_again(site, of)
    with _opened(site) as opened:
        if not is_well:
            note = _end_watchdog(opened, of.member)
            command = typed(site, f"balancer enable {operands(of.member)}")
            text = _("{instance} does not serve: {member} stays out of the pool until: {command}")
            text = text.format(instance=of.instance, member=of.member, command=command)
            return Outcome(False, f"{text}; {note}" if note else text)
        outcome = _set(opened, _named(opened.control.members(), of.member), of.setting)
        note = _end_watchdog(opened, of.member) if outcome.is_ok else ""
        return Outcome(True, note) if note else outcome


def _put_back_lines(of: PuttingBack, site: Site) -> tuple[str, ...]:
    once = _("# once {instance} serves:").format(instance=of.instance)
    return (once, *_set_lines(site, of.member, of.setting))


def _serves_again(site: Site, of: PuttingBack) -> bool:
    """Return whether an API instance serves on its own health path, some times in a row, before the time is over."""
    mine = [each for each in registry.collectors_of("api", site) if each.subject == f"api/{of.instance}"]
    expected, in_a_row = site.healthy_status(), 0
    ends_at = time.monotonic() + of.within
    while True:
        progress.tell(_("waiting until {instance} serves").format(instance=of.instance))
        snapshot = engine.observe(mine, site, Selection(only=("api",)), _LOOK_SECONDS)
        is_well = any(facts.answer.serves(expected) for _seen, facts in snapshot.facts_of(ApiFacts))
        in_a_row = in_a_row + 1 if is_well else 0
        if in_a_row >= _LOOKS_AT_SERVING or time.monotonic() + 1.0 > ends_at:
            return in_a_row >= _LOOKS_AT_SERVING
        time.sleep(1.0)


def _member_and_setting(operation: Operation) -> tuple[str, str]:
    of = convert(operation.arguments, Setting)
    return of.member, of.setting


def _named(members: tuple[MemberFacts, ...], name: str) -> MemberFacts:
    member = next((member for member in members if member.name == name), None)
    if member is None:
        text = _("the pool has no member {name}").format(name=name)
        raise ClientError(FailureKind.MISSING, text, "loadbalancer")
    return member


def _too_few(site: Site, members: tuple[MemberFacts, ...], name: str) -> str:
    """Say that too few others would serve, at the last moment; one that gets nothing anyway takes nothing away."""
    if not _named(members, name).is_serving:
        return ""
    least = configured(site).least_serving
    serving = sum(member.is_serving for member in members if member.name != name and not member.is_name)
    if serving >= least:
        return ""
    text = _("without {name} {count} members would be given connections; at least {least} must")
    return text.format(name=name, count=serving, least=least)


def _set(opened: _Opened, member: MemberFacts, setting: str) -> Outcome:
    """Set a member and read it back; what was refused, or had no effect at all, is told as not done."""
    reason = _("the balancer said yes and changed nothing: {name} is {setting}").format(
        name=member.name, setting=member.setting or "?"
    )
    try:
        opened.control.set(member.name, setting)
    except ClientError as error:
        if error.kind not in _REFUSALS:
            raise  # it may have been heard
        reason = error.message
    now = opened.member(member.name).setting
    if now == setting:
        return Outcome(True)
    if now == member.setting:
        return Outcome(False, reason, is_skipped=True)
    text = _("{name} was set in part only: it is now {setting}")
    return Outcome(False, text.format(name=member.name, setting=now or "?"))


def _await_end(opened: _Opened, of: Draining) -> Outcome:
    """Wait until a member that is out has no connection any more, or the time is over."""
    began, none_seen = time.monotonic(), 0
    first: int | None = None
    while True:
        left = _connections(opened, of.member)
        first = left if first is None else first
        none_seen = none_seen + 1 if left == 0 else 0
        seconds = time.monotonic() - began
        if none_seen >= _LOOKS_AT_NONE or seconds + _POLL_SECONDS > of.within:
            break
        progress.tell(_waiting(of.member, left))
        time.sleep(_POLL_SECONDS)
    measured = {"connections_before": first, "connections": left, "seconds": round(seconds, 1)}
    return Outcome(True, _ended(of.member, left, seconds), measured=measured)


def _connections(opened: _Opened, name: str) -> int | None:
    """Return how many connections a member has; None where that cannot be seen now: it is out all the same."""
    with suppress(ClientError):
        return opened.member(name).current_connections
    return None


def _waiting(name: str, left: int | None) -> str:
    if left is None:
        return _("waiting for the requests of {name} to end").format(name=name)
    text = ngettext(
        "waiting for {count} connection of {name} to end",
        "waiting for {count} connections of {name} to end",
        left,
    )
    return text.format(count=left, name=name)


def _ended(name: str, left: int | None, seconds: float) -> str:
    if left is None:
        text = _("how many connections {name} still has, the balancer did not say in {seconds:.1f} s")
        return text.format(name=name, seconds=seconds)
    if not left:
        text = _("{name} has no connection any more, after {seconds:.1f} s")
        return text.format(name=name, seconds=seconds)
    text = ngettext(
        "{count} connection of {name} is still open after {seconds:.1f} s",
        "{count} connections of {name} are still open after {seconds:.1f} s",
        left,
    )
    return text.format(count=left, name=name, seconds=seconds)


def _end_watchdog(opened: _Opened, name: str) -> str:
    """End the watchdog of a member; where that fails it ends by itself, which is said."""
    if opened.server is None:
        return ""
    try:
        opened.watchdog().end(opened.control.mark(name), _WATCHDOG_SECONDS)
    except ClientError as error:
        return _("a watchdog may still be there: {reason}").format(reason=error.message)
    return ""
