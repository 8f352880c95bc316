"""The causal graph apart from any run: which causes there are, what shows them, what they produce."""

from __future__ import annotations

from msgspec import Struct

from samaops.model.cause import Fix


class Shown(Struct, frozen=True):
    """A finding that shows a cause; ``kinds`` are how the look must have failed, where not any outage does."""

    code: str
    title: str = ""
    kinds: tuple[str, ...] = ()


class Produced(Struct, frozen=True):
    """Findings that a cause produces, as patterns of codes.

    ``place`` narrows them: a subject such as ``celery/WORKER``, a server, ``{server}`` or ``{subject}`` for those of
    the finding that shows the cause. ``is_partial``: not all such findings, as only the code can tell.
    """

    codes: tuple[str, ...]
    place: str = ""
    is_partial: bool = False


class CauseNode(Struct, frozen=True):
    """Causes that one look tells apart. ``rank`` is how near to the ground they are."""

    key: str
    ids: tuple[str, ...]
    rank: str
    runbook: str | None
    shown_by: tuple[Shown, ...]
    produces: tuple[Produced, ...]


class CausalGraph(Struct, frozen=True):
    """All causes, nearest to the ground first. ``edges`` are pairs of keys: the first explains the second.

    What the second explains, the first explains too: such an edge is left out.
    """

    nodes: tuple[CauseNode, ...]
    edges: tuple[tuple[str, str], ...]


class CauseDescription(Struct, frozen=True):
    """One cause: the ways in which it shows, its neighbours in the graph, what may be done about it."""

    id: str
    meaning: str
    ways: tuple[CauseNode, ...]
    explains: tuple[str, ...]
    explained_by: tuple[str, ...]
    distinguished_from: tuple[str, ...]
    fixes: tuple[Fix, ...]
    incidents: tuple[str, ...] = ()
