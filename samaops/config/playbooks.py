"""Playbooks: what to look at for one symptom, its causes, and their fixes. Data in YAML, validated here.

Those of samaops are in ``playbooks/``; a site adds its own directory (``[playbooks] path``). A file there with the
id of a playbook of samaops adds to it.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache, reduce
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from samaops import resources
from samaops.config import documents, files
from samaops.config.documents import Text
from samaops.config.fields import Section
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, reason_of
from samaops.i18n import _
from samaops.model.plan import Risk

# What a text, an argument or a command may hold: filled in from the cause that was found.
NAMES = frozenset(
    {
        *(
            "queue",
            "worker",
            "container",
            "server",
            "subject",
            "evidence",
            "site",
            "task",
            "releases",
            "disk",
        ),
        *("servers", "proxy", "since", "database"),
        *("pid", "idle_pid", "held_pid", "table", "slot", "gid", "held_pool", "pool_size"),
        *("leftover", "index", "off_setting", "wal_size", "cost_limit"),
        *("prefix", "key", "policy", "maxmemory"),
        *("member", "memory_limit", "release"),
        *("mount", "filling_pid", "wal_setting", "wal_value"),
    }
)
# What a command of `show` may hold: filled in from the configuration.
PLACES = frozenset(
    {
        *("broker", "broker_server", "worker", "worker_server", "proxy", "proxy_address", "queue", "celery"),
        *("vip", "member", "member_server", "container"),
    }
)
TemplateT = TypeVar("TemplateT", str, Text)


def _with_known_names(known: frozenset[str]) -> AfterValidator:
    def check(template: TemplateT) -> TemplateT:
        for text in (template.en, template.fr) if isinstance(template, Text) else (template,):
            for _literal, name, spec, conversion in string.Formatter().parse(text):
                if name is not None and name not in known:
                    raise ValueError(f"{{{name}}} is not one of {', '.join(sorted(known))}")
                if spec or conversion:  # a width of a billion would be filled in too
                    raise ValueError(f"{{{name}}} stands alone, without a form")
        return template

    return AfterValidator(check)


Template = Annotated[str, _with_known_names(NAMES)]
TextTemplate = Annotated[Text, _with_known_names(NAMES)]
PlaceTemplate = Annotated[str, _with_known_names(PLACES)]


class ByHand(Section):
    """A command that a person can type, and on which server (a name of ``PLACES``); here when there is none."""

    command: PlaceTemplate
    server: PlaceTemplate | None = None


class Hop(Section):
    """One hop of a way, such as a notification's; ``findings`` are the codes that tell how it is, as patterns."""

    id: str
    title: Text
    meaning: Text
    findings: tuple[str, ...]
    by_hand: tuple[ByHand, ...] = ()


class PlaybookFix(Section):
    """One way to repair: a verb of samaops, a plain command on a server, or a text for those who can.

    The finding that asks for it must be gone afterwards, but after a ``relief``, which only gives time.
    """

    title: TextTemplate
    risk: Risk = Risk.SAFE
    verb: str | None = None
    arguments: tuple[Template, ...] = ()
    command: Template | None = None
    server: Template | None = None
    undo: Template | None = None
    no_undo: str | None = None
    destroys: Text | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 60.0
    text: TextTemplate | None = None
    relief: bool = False
    by_hand: tuple[ByHand, ...] = ()

    @model_validator(mode="after")
    def _is_one_of_three(self) -> PlaybookFix:
        given = [name for name in ("verb", "command", "text") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of verb, command and text is needed")
        if self.command is not None and self.server is None:
            raise ValueError("a command needs its server")
        if self.command is not None and (self.undo is None) == (self.no_undo is None):
            raise ValueError("a command needs its undo, or no_undo: the reason there is none")
        if self.command is not None and self.relief:
            raise ValueError("a command is verified by the finding that asks for it: it cannot be a relief")
        return self


class PlaybookCause(Section):
    """A root cause by its id in ``samaops.causes``: how it shows, and the fixes that help."""

    meaning: Text | None = None
    fixes: tuple[str, ...]


class Playbook(Section):
    """One symptom. ``looks`` are the systems and checks that concern it.

    ``includes`` are other playbooks, as patterns of their ids: their causes may be behind this symptom too, and their
    fixes help.
    """

    id: str
    title: Text | None = None
    meaning: Text | None = None
    looks: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    causes: dict[str, PlaybookCause] = Field(default_factory=dict)
    fixes: dict[str, PlaybookFix] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _uses_its_own_fixes(self) -> Playbook:
        for cause, described in self.causes.items():
            for fix in described.fixes:
                if "." not in fix:
                    raise ValueError(f"causes.{cause}: {fix!r} is not a fix's id (system.what)")
        return self


def all_of(settings: Settings) -> dict[str, Playbook]:
    """Return every playbook by its id: those of samaops, and the site's. What is wrong there is left out: ``faults``."""
    return _with_own(settings.playbooks.path)[0]


def whole(playbook: Playbook, known: Mapping[str, Playbook]) -> Playbook:
    """Return a playbook with the causes and fixes of those that it includes; its own come first."""
    others = (
        other
        for other in known.values()
        if other.id != playbook.id and any(fnmatchcase(other.id, pattern) for pattern in playbook.includes)
    )
    return reduce(_with_those_of, others, playbook)


def _with_those_of(playbook: Playbook, other: Playbook) -> Playbook:
    causes = dict(playbook.causes)
    for cause, described in other.causes.items():
        causes[cause] = _joined(causes.get(cause), described)
    return playbook.model_copy(update={"fixes": {**other.fixes, **playbook.fixes}, "causes": causes})


def _joined(first: PlaybookCause | None, second: PlaybookCause) -> PlaybookCause:
    """Return one cause of two playbooks, with the fixes of both."""
    fixes = (*(first.fixes if first else ()), *second.fixes)
    meaning = (first.meaning if first else None) or second.meaning
    return PlaybookCause(meaning=meaning, fixes=tuple(dict.fromkeys(fixes)))


def faults(settings: Settings) -> tuple[str, ...]:
    """Return what is wrong with the site's own playbooks, a sentence each: file, key, reason."""
    return _with_own(settings.playbooks.path)[1]


def _with_own(directory: Path | None) -> tuple[dict[str, Playbook], tuple[str, ...]]:
    known, wrong = dict(_built_in()), []
    try:
        paths = _files(directory)
    except ConfigurationError as error:
        return known, (error.message,)
    for path in paths:
        try:
            own = load(path, files.read_trusted)
            playbook = _merged(known[own.id], own, path) if own.id in known else own
            _require_fixes(playbook, path)
        except ConfigurationError as error:
            wrong.append(error.message)
        else:
            known[own.id] = playbook
    return known, tuple(wrong)


@cache
def _built_in() -> dict[str, Playbook]:
    paths = sorted(resources.directory("playbooks").glob("*.yaml"))
    loaded = {playbook.id: playbook for playbook in map(load, paths)}
    return {name: _completed(playbook, loaded) for name, playbook in loaded.items()}


def _completed(playbook: Playbook, known: dict[str, Playbook]) -> Playbook:
    """Return a playbook of samaops with what its causes share with others: a fix, and how a cause shows, stand once."""
    fixes, causes = dict(playbook.fixes), dict(playbook.causes)
    for name, cause in playbook.causes.items():
        others = [other for other in known.values() if other is not playbook]
        for fix in cause.fixes:
            shared = next((other.fixes[fix] for other in others if fix in other.fixes), None)
            if fix not in fixes and shared is not None:
                fixes[fix] = shared
        if cause.meaning is None:
            meanings = (other.causes[name].meaning for other in others if name in other.causes)
            meaning = next((text for text in meanings if text is not None), None)
            causes[name] = PlaybookCause(meaning=meaning, fixes=cause.fixes)
    return playbook.model_copy(update={"fixes": fixes, "causes": causes})


def _files(directory: Path | None) -> list[Path]:
    if directory is None:
        return []
    try:
        names = [entry.name for entry in os.scandir(directory)]
    except OSError as error:
        raise ConfigurationError(
            _("[playbooks] path: {path}: {reason}").format(path=directory, reason=reason_of(error))
        ) from error
    return [directory / name for name in sorted(names) if name.endswith((".yaml", ".yml"))]


def load(path: Path, read: Callable[[Path, int], bytes] = files.read) -> Playbook:
    """Read and validate one playbook. Raises ConfigurationError with the file, the key and the reason."""
    return documents.load(path, TypeAdapter(Playbook), read)


def _merged(base: Playbook, own: Playbook, path: Path) -> Playbook:
    """Add a site's fixes, and its use of them, to a playbook of samaops, which stays what it is."""
    for fix in own.fixes:
        if fix in base.fixes:
            raise ConfigurationError(
                _("{path}: fixes.{fix}: samaops has a fix of this name").format(path=path, fix=fix)
            )
    causes = dict(base.causes)
    for cause, described in own.causes.items():
        causes[cause] = _joined(causes.get(cause), described)
    looks = tuple(dict.fromkeys((*base.looks, *own.looks)))
    return base.model_copy(update={"fixes": {**base.fixes, **own.fixes}, "causes": causes, "looks": looks})


def _require_fixes(playbook: Playbook, path: Path) -> None:
    for cause, described in playbook.causes.items():
        for fix in described.fixes:
            if fix not in playbook.fixes:
                text = _("{path}: causes.{cause} names the fix {fix}, which is not there")
                raise ConfigurationError(text.format(path=path, cause=cause, fix=fix))
