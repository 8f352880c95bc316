"""The judgement of what daily maintenance looks at, on data alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.checks.registry import rules
from samaops.clients.shell import Completed
from samaops.collect.docker.times import epoch_of
from samaops.collect.maintenance.images import read
from samaops.collect.maintenance.logs import cleaned
from samaops.facts.maintenance import (
    DirectoriesFacts,
    FileErrors,
    HistoryFacts,
    Image,
    ImagesFacts,
    LogFacts,
    LogMarks,
    LogMessage,
    MountUse,
)
from samaops.facts.observation import Observation
from samaops.model.failure import Failure, FailureKind
from samaops.model.status import Status
from tests.unit.checks import judging
from tests.unit.checks.judging import WAY_BROKEN, failed, findings, statuses

DATA = Path(__file__).parents[2] / "data" / "checks" / "maintenance"
NOW, HOUR, GB = 1_770_000_000.0, 3600.0, 1024**3


def seen(subject: str, facts: object, server: str) -> Observation:
    return replace(judging.seen(subject, facts, server), system="maintenance")


def disk(used_gb: float, at: float, *entries: tuple[str, float]) -> MountUse:
    sizes = tuple((path, int(size * GB)) for path, size in entries)
    return MountUse(
        "/data", at, 100 * GB, int(used_gb * GB), int((100 - used_gb) * GB), GB // 10, False, sizes
    )


def grown(before_gb: float, now_gb: float, hours: float = 24) -> DirectoriesFacts:
    now = disk(now_gb, NOW, ("/data", now_gb), ("/data/pg", now_gb / 2), ("/data/pg/wal", now_gb / 2 - 1))
    then = disk(
        before_gb, NOW - hours * HOUR, ("/data/pg", before_gb / 2), ("/data/pg/wal", before_gb / 2 - 1)
    )
    return DirectoriesFacts((now,), (then,))


def logs(errors: int, criticals: int = 0, *, problem: str = "", listed: int = 2) -> LogFacts:
    files = (
        FileErrors("api_1.log", 0, 500, errors, criticals, ""),
        FileErrors("api_2.log", 0, 500, 0, 0, problem),
    )
    messages = (LogMessage("ERROR timeout of request #", errors),)
    return LogFacts("/opt/logs", "*.log", NOW - 86400, listed, files, messages, False, LogMarks(NOW))


def image(
    number: int, *tags: str, hours: float = 100, used: bool = False, tagged: float | None = None
) -> Image:
    repositories = tuple({tag.rpartition(":")[0] for tag in tags})
    since = NOW - hours * HOUR
    return Image(f"sha256:{number}", tags, repositories, since, tagged, 10**8, used)


RELEASES = tuple(image(number, f"app:{number}", hours=100 * (10 - number)) for number in range(1, 5))
CASES = [
    ("maintenance.history.unreadable", HistoryFacts(None), "ok"),
    ("maintenance.history.unreadable", HistoryFacts("2026-01-31T06:00:00+00:00"), "ok"),
    ("maintenance.logs.errors", logs(100), "ok"),
    ("maintenance.logs.errors", logs(99, 2), "warning"),
    ("maintenance.logs.errors", logs(0, listed=0), "unknown"),
    ("maintenance.logs.unread", logs(3), "ok"),
    ("maintenance.logs.unread", logs(3, problem="Permission denied"), "unknown"),
    ("maintenance.images.unused", ImagesFacts(NOW, RELEASES[2:], 1), "ok"),
    ("maintenance.images.unused", ImagesFacts(NOW, RELEASES, 1), "warning"),
]


@pytest.mark.parametrize(("code", "facts", "status"), CASES)
def test_a_reading_is_judged(code: str, facts: object, status: str) -> None:
    assert statuses(code, seen("x/api", facts, "api")) == {"x/api": status}


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (DirectoriesFacts((disk(50, NOW),), ()), "ok"),
        (grown(50, 50.5), "ok"),
        (grown(50, 55), "ok"),  # nine days
        (grown(50, 60), "warning"),  # four days
        (grown(60, 50), "ok"),
        (grown(50, 60, hours=1), "ok"),  # an hour says nothing about a week
    ],
)
def test_growth_is_judged_by_how_soon_the_disk_is_full(facts: DirectoriesFacts, status: str) -> None:
    assert statuses("maintenance.disk.growth", seen("servers/db", facts, "db")) == {
        "servers/db:/data": status
    }


def test_growth_names_who_grew_and_not_those_above_it() -> None:
    found = findings("maintenance.disk.growth", seen("servers/db", grown(50, 60), "db"))["servers/db:/data"]
    assert [one["path"] for one in found.evidence["directories"]] == ["/data/pg/wal"]
    assert "full in 4.0 days" in found.title


def test_what_a_partial_search_did_not_see_is_not_called_grown() -> None:
    then = MountUse("/data", NOW - 86400, 100 * GB, 40 * GB, 60 * GB, GB // 10, True, ())
    facts = DirectoriesFacts((disk(50, NOW, ("/data/old", 30)),), (then,))
    growth = facts.growth("/data")
    assert growth is not None
    assert growth.directories == ()


def test_every_rule_of_maintenance_has_a_case() -> None:
    assert {rule.code for rule in rules(("maintenance",))} == {
        *(one[0] for one in CASES),
        "maintenance.disk.growth",
        "maintenance.safety.versions",  # in test_versions.py: it is judged over all that was observed
        *(f"maintenance.{path.stem}" for path in DATA.glob("*.yaml")),
    }


@pytest.mark.parametrize("failure", [WAY_BROKEN, Failure(FailureKind.MISSING, "No such file", "list")])
@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("maintenance.history.unreadable", HistoryFacts),
        ("maintenance.disk.growth", DirectoriesFacts),
        ("maintenance.logs.errors", LogFacts),
        ("maintenance.images.unused", ImagesFacts),
    ],
)
def test_what_cannot_be_looked_at_is_unknown(failure: Failure, code: str, facts: type) -> None:
    assert statuses(code, failed("maintenance/x", facts, failure)) == {"maintenance/x": "unknown"}


def removable(*images: Image, age_hours: float = 72, kept: int = 2) -> set[str]:
    return {name for one in ImagesFacts(NOW, images, None).removable(age_hours, kept) for name in one.names}


def test_the_newest_two_of_each_repository_stay_however_old_they_are() -> None:
    other = (image(11, "tool:1", hours=9000), image(12, "tool:2", hours=8000))
    assert removable(*RELEASES, *other) == {"app:1", "app:2"}


def test_an_image_of_a_container_stays_running_or_not() -> None:
    assert removable(image(0, "app:0", hours=2000, used=True), *RELEASES) == {"app:1", "app:2"}


def test_an_image_stays_until_it_is_old_enough() -> None:
    young = [image(number, f"app:{number}", hours=10 * (5 - number)) for number in range(1, 5)]
    assert removable(*young) == set()


def test_an_old_image_that_was_pulled_lately_is_not_old() -> None:
    pulled = image(0, "app:0", hours=5000, tagged=NOW - HOUR)
    assert "app:0" not in removable(pulled, *RELEASES)


def seen_by_docker(created: str, tagged: str | None, *arrived: str) -> ImagesFacts:
    """Four releases as docker lists them, the first in use; ``arrived`` are the lines about their files."""
    images = [
        {"id": f"sha256:{number:064x}", "tags": [f"r.example/api:1.{number}"], "digests": [], "size": 1}
        | {"created": created, "tagged": tagged}
        for number in range(1, 5)
    ]
    sections = {
        "now": [str(NOW)],
        "containers": [str(images[0]["id"]), "exit 0"],
        "images": [*map(json.dumps, images), "exit 0"],
        "arrived": arrived,
    }
    lines = [line for name, of in sections.items() for line in (f"@@t {name}", *of)]
    return read(Completed(0, "\n".join(lines), ""), "t")


@pytest.mark.parametrize(
    "created", ["1970-01-01T00:00:00Z", "1980-01-01T00:00:01Z", "0001-01-01T00:00:00Z", ""]
)
@pytest.mark.parametrize("tagged", ["0001-01-01T00:00:00Z", None])
def test_an_image_whose_age_nobody_knows_stays(created: str, tagged: str | None) -> None:
    facts = seen_by_docker(created, tagged)
    assert facts.removable(72, 2) == ()
    (finding,) = findings("maintenance.images.unused", seen("images/api", facts, "api")).values()
    assert finding.status is Status.OK
    assert finding.evidence["age_unknown"] == [f"r.example/api:1.{number}" for number in (2, 3, 4)]


def test_an_image_is_as_young_as_its_file_where_docker_knows_no_age() -> None:
    arrived = [f"{number:064x} {NOW - HOUR * hours}" for number, hours in ((2, 900), (3, 1), (4, 800))]
    removed = seen_by_docker("1970-01-01T00:00:00Z", None, *arrived).removable(72, 1)
    assert [image.tags[0] for image in removed] == ["r.example/api:1.2", "r.example/api:1.4"]
    built_long_ago = seen_by_docker("2020-01-01T00:00:00Z", None, f"{2:064x} {NOW - HOUR}")
    assert {image.tags[0] for image in built_long_ago.removable(72, 0)} == {
        "r.example/api:1.3",
        "r.example/api:1.4",
    }


def test_an_image_of_two_repositories_stays_while_one_needs_it() -> None:
    shared = Image("sha256:s", ("app:0", "rare:1"), ("app", "rare"), NOW - 10**7, None, 1, False)
    assert removable(shared, *RELEASES) == {"app:1", "app:2"}


def test_images_without_a_name_count_as_one_repository() -> None:
    nameless = [image(number, hours=100 * number) for number in range(1, 5)]
    assert removable(*nameless) == {"sha256:3", "sha256:4"}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("ERROR login of awa@senelec.sn failed", "ERROR login of <email> failed"),
        ("ERROR password=hunter# refused", "ERROR password=*** refused"),
        ("ERROR DB_PASSWORD: x#y, again", "ERROR DB_PASSWORD: ***, again"),
        ("ERROR Authorization: Bearer ey# sent", "ERROR Authorization: Bearer *** sent"),
        ("ERROR redis://u:p@host:# refused", "ERROR redis://***@host:# refused"),
    ],
)
def test_a_message_keeps_no_secret_and_no_address(line: str, kept: str) -> None:
    assert cleaned(line) == kept


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-01-31T03:12:00.25Z", 1769829120.25),
        ("2026-01-31T04:12:00.250000000+01:00", 1769829120.25),
        ("2026-01-30T22:12:00-05:00", 1769829120.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_the_times_of_docker_are_read(stamp: str | None, moment: float | None) -> None:
    assert epoch_of(stamp) == moment
