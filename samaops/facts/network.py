"""What was observed of the ways between the parts: each line of the matrix, tried from where its client stands."""

from __future__ import annotations

from msgspec import Struct

from samaops.i18n import N_

# How a connection went. "refused": an answer said no (nothing listens, or a rule rejects); "dropped": no answer in time;
# "name": the name was not found; "route": there is no way there; "proxy": the proxy, or the way to it, fails.
OPEN, REFUSED, DROPPED, NAME, ROUTE, PROXY = "open", "refused", "dropped", "name", "route", "proxy"
# What says nothing of the way: the program had other trouble; or there were more lines than are tried.
OTHER, UNTRIED = "other", "untried"
ANSWER_WORDS = {
    OPEN: N_("open"),
    REFUSED: N_("refused"),
    DROPPED: N_("dropped"),
    NAME: N_("no such name"),
    ROUTE: N_("no route"),
    PROXY: N_("proxy"),
    OTHER: N_("unknown"),
    UNTRIED: N_("not tried"),
}


class Line(Struct, frozen=True):
    """One line of the matrix as one place has to try it.

    ``system`` is whose port it is, in the words of the configuration's sections; ``server`` where it is, None for what is
    on none of ours. ``proxy`` is host:port, where the way leads through one. ``not_held`` is the reason of the
    configuration why the line does not hold at this site.
    """

    place: str
    service: str
    system: str
    host: str
    port: int
    must_be_open: bool
    server: str | None = None
    proxy: str = ""
    not_held: str = ""

    @property
    def address(self) -> str:
        """Return host:port, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TriedLine(Struct, frozen=True):
    """How a line was found: a key of ``ANSWER_WORDS``, and the words of whoever said so."""

    line: Line
    answer: str
    words: str = ""


class NetworkFacts(Struct, frozen=True):
    """All lines of one place, tried with one program (bash, python3, nc; or the balancer's own monitor)."""

    place: str
    program: str
    lines: tuple[TriedLine, ...]
