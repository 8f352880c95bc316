"""What a cause produces elsewhere: findings, by patterns of their codes and by their place."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from samaops.model.finding import Finding
from samaops.site.site import Site


class Effect(Struct, frozen=True):
    """Findings whose code matches ``pattern``: everywhere, on one server, or of one subject.

    In a declaration ``server`` and ``subject`` may hold ``{server}``, ``{subject}`` and ``{name}`` (what follows the
    slash of the subject): those of the finding that decides. ``when`` narrows further what codes cannot tell.
    """

    pattern: str
    server: str | None = None
    subject: str | None = None
    when: Callable[[Finding], bool] | None = None

    def holds(self, finding: Finding) -> bool:
        """Return whether a finding is one of them."""
        return (
            fnmatchcase(finding.code, self.pattern)
            and self.server in (None, finding.server)
            and self.subject in (None, finding.subject)
            and (self.when is None or self.when(finding))
        )


Effects = tuple[Effect, ...]


class OfSite(Struct, frozen=True):
    """Effects that depend on what the site runs where.

    ``shown`` is what ``of`` returns, with words in capitals in the place of names, for people.
    """

    of: Callable[[Finding, Site], Effects]
    shown: Effects


def codes(
    *patterns: str,
    server: str | None = None,
    subject: str | None = None,
    when: Callable[[Finding], bool] | None = None,
) -> Effects:
    """Return the findings of some codes, such as ``redis.*``."""
    return tuple(Effect(pattern, server, subject, when) for pattern in patterns)


def same_server(*patterns: str, when: Callable[[Finding], bool] | None = None) -> Effects:
    """Return the findings of some codes on the server of the one that decides."""
    return codes(*patterns, server="{server}", when=when)


def same_subject(*patterns: str) -> Effects:
    """Return the findings of some codes about the subject of the one that decides."""
    return codes(*patterns, subject="{subject}")


def in_part(effects: Effects) -> Effects:
    """Return effects as they are shown to people where only the code can tell which of the findings they are."""
    return tuple(replace(effect, when=effect.when or bool) for effect in effects)


def produced(effects: Effects | OfSite, finding: Finding, site: Site) -> Effects:
    """Return declared effects with the place of the finding that decides."""
    if isinstance(effects, OfSite):
        return effects.of(finding, site)
    names = {"subject": finding.subject, "name": name_of(finding), "server": finding.server}
    return tuple(
        replace(
            effect,
            server=finding.server if effect.server == "{server}" else effect.server,
            subject=effect.subject and effect.subject.format_map(names),
        )
        for effect in effects
    )


def name_of(finding: Finding) -> str:
    """Return the name in a finding's subject: of the container, the queue, the worker, the host."""
    return finding.subject.partition("/")[2]
