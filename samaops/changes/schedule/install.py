"""Write the files by which systemd, cron or compose begin what runs by itself, into a directory; take them back."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath

from msgspec.structs import replace

from samaops.changes.readings import facts_in
from samaops.changes.schedule import files, units
from samaops.changes.schedule.files import Writing
from samaops.changes.schedule.units import Place
from samaops.changes.verbs import verb
from samaops.config import places, sites
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.schedule import FilesFacts, FoundFile, ScheduleFacts
from samaops.i18n import _, joined
from samaops.journal import lock_directory
from samaops.model.plan import Plan
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site

KINDS = {"systemd": units.systemd, "timers": units.timers, "cron": units.cron, "compose": units.compose}
_AFTER = {
    "systemd": ("systemctl daemon-reload",),
    "timers": ("systemctl daemon-reload",),
    "cron": (),
    "compose": ("docker compose -f compose.samaops.yml up -d",),
}


def _of_directory(_site: Site, *arguments: str) -> tuple[str, ...]:
    directory = arguments[-1]
    if not PurePosixPath(directory).is_absolute():
        raise UsageError(_("{path}: a whole path, from the root").format(path=directory))
    return (*files.asked(directory), "schedule.leader")


def _typed(kind: str, directory: str) -> tuple[str, ...]:
    return ("systemd", directory, "--timers") if kind == "timers" else (kind, directory)


@verb("schedule install", looks=_of_directory, typed=_typed)
def plan_install(snapshot: Snapshot, site: Site, kind: str, directory: str) -> Plan:
    """Plan the files of one kind in a directory."""
    if kind not in KINDS:
        raise UsageError(_("{kind!r} is none of {kinds}").format(kind=kind, kinds=", ".join(KINDS)))
    title = _("Write what begins the jobs by {kind} into {directory}").format(kind=kind, directory=directory)
    plan = Plan("schedule install", (kind, directory), title, target=kind)
    found, base = facts_in(snapshot, FilesFacts), directory.rstrip("/")
    place = _place(site)
    units.require_plain(site, place)
    wanted = _beside(found, site, kind, base, KINDS[kind](site, place))
    _require_alone(snapshot, site, kind, directory, wanted)
    steps = []
    for name, content in wanted.items():
        path = f"{base}/{name}"
        present = found.at(path)
        before = present.content if present else None
        if present and (present.problem or (before is not None and not before.startswith(units.MARK))):
            reason = present.problem or _("somebody else wrote it")
            raise RefusedError(f"{path}: {reason}; " + _("nothing was changed"))
        if before != content:
            text = _("Write {path}").format(path=path)
            steps.append(files.step("schedule.install", text, before, Writing(path, content)))
    if not steps:
        return replace(plan, nothing_to_do=_("all of it is there"))
    commands = (*_AFTER[kind], *_enable(wanted)) if kind in ("systemd", "timers") else _AFTER[kind]
    notes = tuple(_("then: {command}").format(command=command) for command in commands)
    keyless = units.servers_of_no_key(site) if kind == "compose" else ()
    if keyless:
        text = _("the container has no SSH key of yours: set key_file and known_hosts of {servers}")
        notes = (text.format(servers=joined(keyless)), *notes)
    return replace(plan, steps=tuple(steps), notes=notes)


@verb("schedule uninstall", looks=_of_directory)
def plan_uninstall(snapshot: Snapshot, site: Site, directory: str) -> Plan:
    """Plan that the files that samaops wrote for this site are not in a directory any more."""
    title = _("Take back what samaops schedule install wrote into {directory}").format(directory=directory)
    plan = Plan("schedule uninstall", (directory,), title, target=directory)
    ours = _ours(snapshot, site, directory)
    steps = tuple(
        files.step(
            "schedule.uninstall",
            _("Remove {path}").format(path=file.path),
            file.content,
            Writing(file.path, None),
        )
        for file in ours
    )
    if not steps:
        return replace(plan, nothing_to_do=_("nothing of it is there"))
    names = [PurePosixPath(file.path).name for file in ours]
    begun = [name for name in names if name.endswith(".timer") or _is_scheduler(name)]
    notes = (
        (_("before: {command}").format(command=f"systemctl disable --now {shlex.join(begun)}"),)
        if begun
        else ()
    )
    return replace(plan, steps=steps, notes=notes)


def _beside(
    found: FilesFacts, site: Site, kind: str, base: str, wanted: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the files with the site in their names where another site has those without: each has its own.

    Raises RefusedError where the name of the site cannot stand in that of a file, and for compose, which goes by the
    directory.
    """
    present = [found.at(f"{base}/{name}") for name in wanted]
    if not any(file and _is_of_another(file, site) for file in present):
        return wanted
    if kind == "compose" or not sites.is_a_name(site.name):
        text = _(
            "the files of another site are in {directory}: choose another directory; nothing was changed"
        )
        raise RefusedError(text.format(directory=base))
    return {_with_site(name, site.name): content for name, content in wanted.items()}


def _is_of_another(file: FoundFile, site: Site) -> bool:
    """Return whether a file begins the jobs of another configuration; one that only had another name is ours."""
    content = file.content or ""
    is_marked = content.startswith(f"{units.MARK} for ") and not content.startswith(_mark(site))
    return is_marked and units.configured(site) not in content


def _with_site(name: str, site: str) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}-{site}{path.suffix}"


def _enable(wanted: Mapping[str, str]) -> tuple[str, ...]:
    begun = [name for name in wanted if name.endswith(".timer") or _is_scheduler(name)]
    return (f"systemctl enable --now {shlex.join(begun)}",)


def _is_scheduler(name: str) -> bool:
    return name.startswith("samaops-schedule") and name.endswith(".service")


def _mark(site: Site) -> str:
    return f"{units.MARK} for {site.name};"


def _require_alone(
    snapshot: Snapshot, site: Site, kind: str, directory: str, wanted: Mapping[str, str]
) -> None:
    """Raise RefusedError where something else of ours begins the same jobs already: they would run twice."""
    ours = _ours(snapshot, site, directory)
    others = [name for name in (PurePosixPath(file.path).name for file in ours) if name not in wanted]
    if others and kind in ("systemd", "timers"):
        text = _("{names} of samaops are there, and would run the jobs twice; nothing was changed")
        command = typed(site, f"schedule uninstall {operands(directory)}")
        raise RefusedError(text.format(names=", ".join(others)), hint=command)
    leads = next((facts.leader for _seen, facts in snapshot.facts_of(ScheduleFacts)), None)
    if kind in ("timers", "cron") and leads is not None and leads.until > snapshot.taken_at:
        text = _("A scheduler runs on {host}, and the jobs would run twice; nothing was changed")
        raise RefusedError(text.format(host=leads.host), hint=_("end it first"))


def _ours(snapshot: Snapshot, site: Site, directory: str) -> list[FoundFile]:
    mark = _mark(site)
    found = facts_in(snapshot, FilesFacts).within(directory)
    return [file for file in found if file.content is not None and file.content.startswith(mark)]


def _place(site: Site) -> Place:
    """Return where and as whom samaops runs here."""
    locks = lock_directory.choose(site.settings.safety.lock_directory)
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container with a bare number
        user = str(os.geteuid())
    return Place(_program(), user, str(places.state().parent), str(locks))


def _program() -> str:
    """Return how samaops is begun here: a package has a new environment with each version, and one name for all of them."""
    if places.is_packaged():
        return "/usr/bin/samaops"
    return shlex.join((sys.executable, "-m", "samaops"))
