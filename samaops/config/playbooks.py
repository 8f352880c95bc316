"""Playbooks: what to look at for one symptom, its causes, and their fixes. Data in YAML, validated here.

Those of samaops are in ``playbooks/``; a site adds its own directory (``[playbooks] path``). A file there with the
id of a playbook of samaops adds to it. Texts are marked for translation by standing under ``TEXT_KEYS``.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from samaops import resources
from samaops.config.settings import Section, Settings
from samaops.errors import ConfigurationError
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
        *("servers", "proxy", "since"),
    }
)
# What a command of `show` may hold: filled in from the configuration.
PLACES = frozenset(
    {"broker", "broker_server", "worker", "worker_server", "proxy", "proxy_address", "queue", "celery"}
)
TEXT_KEYS = ("title", "text", "meaning", "no_undo")


def _with_known_names(known: frozenset[str]) -> AfterValidator:
    def check(template: str) -> str:
        for _text, name, _spec, _conversion in string.Formatter().parse(template):
            if name is not None and name not in known:
                raise ValueError(f"{{{name}}} is not one of {', '.join(sorted(known))}")
        return template

    return AfterValidator(check)


Template = Annotated[str, _with_known_names(NAMES)]
PlaceTemplate = Annotated[str, _with_known_names(PLACES)]


class ByHand(Section):
    """A command that a person can type, and on which server (a name of ``PLACES``); here when there is none."""

    command: PlaceTemplate
    server: PlaceTemplate | None = None


class Hop(Section):
    """One station of a notification's way; ``findings`` are the codes that tell how it is, as patterns."""

    id: str
    title: str
    meaning: str
    findings: tuple[str, ...]
    by_hand: tuple[ByHand, ...] = ()


class PlaybookFix(Section):
    """One way to repair: a verb of samaops, a plain command on a server, or a text for those who can.

    The finding that asks for it must be gone afterwards, but after a ``relief``, which only gives time.
    """

    title: Template
    risk: Risk = Risk.SAFE
    verb: str | None = None
    arguments: tuple[Template, ...] = ()
    command: Template | None = None
    server: Template | None = None
    undo: Template | None = None
    no_undo: str | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 60.0
    text: Template | None = None
    relief: bool = False
    by_hand: tuple[ByHand, ...] = ()

    @model_validator(mode="after")
    def _is_one_of_three(self) -> PlaybookFix:
        forms = [name for name in ("verb", "command", "text") if getattr(self, name) is not None]
        if len(forms) != 1:
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

    meaning: str = ""
    fixes: tuple[str, ...]


class Playbook(Section):
    """One symptom. ``looks`` are the systems and checks that concern it."""

    id: str
    title: str = ""
    meaning: str = ""
    looks: tuple[str, ...] = ()
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
    """Return every playbook by its id: those of samaops, and the site's. Raises ConfigurationError."""
    playbooks = dict(_built_in())
    for path in _files(settings.playbooks.path):
        own = load(path)
        playbooks[own.id] = _merged(playbooks[own.id], own, path) if own.id in playbooks else own
    for playbook in playbooks.values():
        _require_fixes(playbook)
    return playbooks


@cache
def _built_in() -> dict[str, Playbook]:
    return {
        playbook.id: playbook
        for playbook in map(load, sorted(resources.directory("playbooks").glob("*.yaml")))
    }


def _files(directory: Path | None) -> list[Path]:
    if directory is None:
        return []
    if not directory.is_dir():
        raise ConfigurationError(_("[playbooks] path: {path} is not a directory").format(path=directory))
    return sorted((*directory.glob("*.yaml"), *directory.glob("*.yml")))


def load(path: Path) -> Playbook:
    """Read and validate one playbook. Raises ConfigurationError with the file, the key and the reason."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Playbook.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "-"
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(_("{path}: not YAML: {reason}").format(path=path, reason=reason)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _merged(base: Playbook, own: Playbook, path: Path) -> Playbook:
    """Add a site's fixes, and its use of them, to a playbook of samaops, which stays what it is."""
    for fix in own.fixes:
        if fix in base.fixes:
            raise ConfigurationError(
                _("{path}: fixes.{fix}: samaops has a fix of this name").format(path=path, fix=fix)
            )
    causes = dict(base.causes)
    for cause, described in own.causes.items():
        known = causes.get(cause)
        fixes = (*(known.fixes if known else ()), *described.fixes)
        meaning = (known.meaning if known else "") or described.meaning
        causes[cause] = PlaybookCause(meaning=meaning, fixes=tuple(dict.fromkeys(fixes)))
    looks = tuple(dict.fromkeys((*base.looks, *own.looks)))
    return base.model_copy(update={"fixes": {**base.fixes, **own.fixes}, "causes": causes, "looks": looks})


def _require_fixes(playbook: Playbook) -> None:
    for cause, described in playbook.causes.items():
        for fix in described.fixes:
            if fix not in playbook.fixes:
                text = _("playbook {id}: causes.{cause} names the fix {fix}, which is not there")
                raise ConfigurationError(text.format(id=playbook.id, cause=cause, fix=fix))


def texts(document: Any) -> list[str]:
    """Return every text of a playbook's document that people read, in its order: for the catalogue."""
    if isinstance(document, dict):
        strings = []
        for key, value in document.items():
            strings += [value] if key in TEXT_KEYS and isinstance(value, str) else texts(value)
        return strings
    return [text for item in document for text in texts(item)] if isinstance(document, list) else []
