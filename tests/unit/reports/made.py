"""A site and samples of the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from samaops.config.settings import Settings
from samaops.facts.sample import UP, WHOLE, Minute, Sample
from samaops.journal.history import Journal
from samaops.journal.samples import Samples
from samaops.site.site import Site

# What a minute shows of each subject; None: nobody looked.
Shown = Callable[[datetime], Sequence[Sample] | None]


def site_of(directory: Path, zone: str = "Africa/Dakar") -> Site:
    """Return a site with the guide's two members and a history of its own."""
    settings = Settings.model_validate(
        {
            "site": "site",
            "servers": {"api": {"address": "10.0.0.1"}},
            "api": {
                "instances": [
                    {"name": "api1", "server": "api", "url": "http://10.0.0.1:8001"},
                    {"name": "api2", "server": "api", "url": "http://10.0.0.1:8002"},
                ]
            },
            "schedule": {"timezone": zone},
            "history": {"url": f"sqlite:///{directory}/history.sqlite3"},
        }
    )
    return Site(settings)


def samples_of(site: Site) -> Samples:
    url = site.settings.history.url
    assert url is not None
    return Samples(Journal(url.reveal(), site.name), site.name)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def service(state: str = UP, milliseconds: float | None = 20.0) -> Sample:
    return Sample(WHOLE, state, milliseconds, "ms" if milliseconds is not None else "")


def fill(samples: Samples, since: datetime, minutes: int, shown: Shown) -> None:
    """Keep so many minutes from then on."""
    moments = (since + timedelta(minutes=number) for number in range(minutes))
    made = [(moment, shown(moment)) for moment in moments]
    samples.add_all([Minute(moment, tuple(seen)) for moment, seen in made if seen is not None])


def of_the_guide(moment: datetime, late: float = 1.0) -> list[Sample]:
    """Return what a look at a site of the guide's size shows: 16 subjects, of which values change from minute to minute."""
    number = int(moment.timestamp() // 60)
    noise = (number * 7919) % 97
    listed = [
        service(milliseconds=12 + noise / 3 * late),
        Sample("member/api_1", UP, 8 + noise / 5, "ms"),
        Sample("member/api_2", UP, 9 + noise / 4, "ms"),
        Sample("database/application", UP, 1 + noise / 50, "ms"),
        Sample("pool/clients", UP, 40.0 + noise, "clients"),
        Sample("pool/limit", UP, 10_000.0, "clients"),
        Sample("redis/workers", UP, 0.4 + noise / 400, "ms"),
        Sample("redis/memory", UP, 41.2 + noise / 100, "%"),
        *(
            Sample(f"queue/{name}", UP, float(noise % 13), "messages", float(noise % 5) or None)
            for name in ("urgent", "high_priority", "normal", "low_priority")
        ),
    ]
    if number % 10 == 0:
        listed += [
            Sample(f"disk/{server}:/", UP, 50 + number / 1e6, "%") for server in ("db", "api", "workers")
        ]
        listed.append(Sample("disk/db:/data", UP, 61.5, "%"))
    return listed
