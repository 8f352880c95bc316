"""What a look at a database, or at Redis, keeps in the history for the next ones: numbers by name, bounded, without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from msgspec import Struct

from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.records import Records
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows import change

ResultT = TypeVar("ResultT")


class Earlier(Struct, frozen=True):
    """What an earlier look kept, and how long ago."""

    seconds: float
    details: Mapping[str, Any]


class Memory:
    """The looks of one kind at one database; a history that fails leaves its reason and stops no look.

    ``of`` says which database it is; that of ``[postgresql]`` when left out.
    """

    def __init__(self, site: Site, kind: str, every_seconds: float, of: str = "") -> None:
        self._site = site
        self._kind = kind
        self._of = of
        self._every_seconds = every_seconds
        self.failure = ""

    def last(self, count: int) -> tuple[Earlier, ...]:
        """Return the last looks at this database, newest first."""
        now = datetime.now(timezone.utc)
        records = self._with_records(lambda records: records.last(count)) or ()
        looks = [
            Earlier((now - datetime.fromisoformat(record.at)).total_seconds(), record.details)
            for record in records
        ]
        return tuple(look for look in looks if look.details.get("of") == self._database)

    def keep(self, earlier: tuple[Earlier, ...], details: Mapping[str, Any]) -> None:
        """Keep this look, unless one was kept lately."""
        if self.failure or (earlier and earlier[0].seconds < self._every_seconds):
            return
        kept = redaction.redacted({"of": self._database, **details}, self._site)
        self._with_records(lambda records: records.add(kept))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say where the history could not be used."""
        text = _("nothing can be compared with earlier looks: {reason}")
        return (text.format(reason=self.failure),) if self.failure else ()

    @property
    def _database(self) -> str:
        if self._of:
            return self._of
        settings = self._site.settings.postgresql
        assert settings is not None  # it is connected to
        return f"{self._site.host_of(settings)}:{settings.port}/{settings.database}"

    def _with_records(self, work: Callable[[Records], ResultT]) -> ResultT | None:
        journal = change.journal_of(self._site)
        try:
            return work(Records(journal, self._site.name, self._kind))
        except HistoryError as error:
            self.failure = error.message
        except (KeyError, TypeError, ValueError) as error:
            self.failure = _("not readable: {reason}").format(reason=str(error)[:200])
        finally:
            journal.close()
        return None


def numbers(details: Mapping[str, Any], name: str) -> dict[str, float]:
    """Return what an earlier look kept under a name: numbers by name; whatever else stands there is left out."""
    kept = details.get(name)
    items = kept.items() if isinstance(kept, dict) else ()
    return {
        key: value for key, value in items if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
