"""What an earlier version wrote is still read, and means the same: saved looks, the journal, the records of maintenance.

The files are described in tests/data/golden/README.md; they are never made anew.
"""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import undo
from samaops.changes.run import operations
from samaops.collect import store
from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import Count, RabbitMQFacts
from samaops.journal.history import Change, Journal
from samaops.render import json as json_face
from samaops.site.site import Site
from samaops.workflows import change as changes
from samaops.workflows.maintenance import past as maintenance_past
from samaops.workflows.maintenance.daily import DAILY
from tests.contract.conftest import Samaops, redis_at

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
SITE = "samaconso-lab"
LOOKS = ("healthy", "queue-without-consumer", "pgbouncer-paused")
HISTORY: dict[str, Any] = json.loads(gzip.decompress((GOLDEN / "history.json.gz").read_bytes()))
UNDO: dict[str, Any] = json.loads((GOLDEN / "undo.json").read_text(encoding="utf-8"))
# An undo that only needs this machine's files; the others are planned from a look.
PURGE = next(change for change, planned in UNDO.items() if planned["look"] is None)
STATUSES = {"verified", "applied", "failed", "reverted", "refused", "interrupted"}


def unpacked(name: str, directory: Path) -> Path:
    path = directory / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((GOLDEN / name).read_bytes()))
    return path


@pytest.fixture
def journal(samaops: Samaops) -> Path:
    """Return the journal where samaops looks for it, and beside it the file of the purge."""
    path = samaops.home / "state" / "samaops" / "history.sqlite3"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    dump = gzip.decompress((GOLDEN / "history.sql.gz").read_bytes()).decode()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.replace("@HERE@", str(samaops.home)))
    shutil.copy(GOLDEN / "purged.jsonl", samaops.home)
    return path


def configured(samaops: Samaops, more: str = "") -> Path:
    return samaops.configure(f'site = "{SITE}"\n[safety]\nlock_directory = "{samaops.home}"\n{more}')


def at_home(samaops: Samaops, value: object) -> Any:
    """Return an expected value with the place of this test in it."""
    return json.loads(json.dumps(value).replace("@HERE@", str(samaops.home)))


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_of_an_earlier_version_gives_the_same_verdict(samaops: Samaops, name: str) -> None:
    look = unpacked(f"look.{name}.json.gz", samaops.home)
    expected = json.loads((GOLDEN / f"look.{name}.expected.json").read_text(encoding="utf-8"))
    done = samaops("diagnose", "--from", look, "-o", "json")
    report = done.json()
    assert report["errors"] == []
    assert (done.code, report["status"]) == (expected["exit_code"], expected["status"])
    causes = [[cause["id"], cause["subject"], cause["verdict"]] for cause in report["causes"]]
    assert causes == expected["causes"]
    findings = [
        [finding["code"], finding["subject"], finding["status"], finding["value"]]
        for finding in report["findings"]
    ]
    # A later version may look at more; what was judged then is judged the same.
    assert [finding for finding in expected["findings"] if finding not in findings] == []
    assert [finding for finding in findings if finding[2] not in ("ok", "skipped")] == [
        finding for finding in expected["findings"] if finding[2] not in ("ok", "skipped")
    ]


def test_a_history_of_an_earlier_version_is_listed_and_shown(samaops: Samaops, journal: Path) -> None:
    config = configured(samaops)
    listed = samaops("--config", config, "history", "list", "--limit", "50", "-o", "json")
    assert (listed.code, listed.stderr) == (0, "")
    assert listed.json() == at_home(samaops, HISTORY["list"])
    assert {change["status"] for change in listed.json()["changes"]} == STATUSES
    assert any(change["undone_by"] for change in listed.json()["changes"])
    # One of each status: a process for each takes its time.
    by_status = {change["status"]: change["id"] for change in listed.json()["changes"]}
    for change in by_status.values():
        expected = HISTORY["show"][change]
        shown = samaops("--config", config, "history", "show", change, "-o", "json")
        assert (shown.code, shown.json()) == (0, at_home(samaops, expected)), change


def test_a_history_of_an_earlier_version_is_searched(samaops: Samaops, journal: Path) -> None:
    config = configured(samaops)
    words = ("--kind", "undo", "--since", "2026-11-28", "--result", "verified", "-o", "json")
    listed = samaops("--config", config, "history", "list", *words).json()["changes"]
    assert [change["id"] for change in listed] == ["20261128-021507-31b6", "20261128-020904-708c"]
    shown = samaops("--config", config, "history", "show", "20261128-020904")
    assert "samaops --config" in shown.stdout, "the command is for the same site"
    assert "undo 20261128-020857-f132" in shown.stdout
    assert samaops("--config", config, "history", "list", "--result", "good").code == 64


def test_a_purge_of_an_earlier_version_is_taken_back_with_its_file(samaops: Samaops, journal: Path) -> None:
    broker = '[rabbitmq]\nhost = "127.101.0.2"\nusername = "samaconso_admin"\npassword = "x"\ntimeout = 1\n'
    done = samaops("--config", configured(samaops, broker), "undo", PURGE, "--dry-run", "-o", "json")
    assert (done.code, as_planned(done.json()["actions"])) == (
        0,
        as_planned(at_home(samaops, UNDO[PURGE]["actions"])),
    ), done
    (samaops.home / "purged.jsonl").unlink()
    done = samaops("--config", configured(samaops, broker), "undo", PURGE, "--dry-run")
    assert "Nothing to do" in done.stdout  # the file goes when its messages are back


@pytest.mark.parametrize("change", [change for change in UNDO if change != PURGE])
def test_a_change_of_an_earlier_version_is_taken_back_by_the_same_steps(
    samaops: Samaops, journal: Path, change: str
) -> None:
    saved = store.load(unpacked(UNDO[change]["look"], samaops.home))
    plan = undo.plan(recorded(journal, change), counted(saved.snapshot), operations.is_done)
    report = changes.report_of(saved.site, plan)
    actions = json.loads(json_face.render(report))["actions"]
    assert as_planned(actions) == as_planned(UNDO[change]["actions"])


def as_planned(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return actions without what they had not yet, and their commands as they are shown now."""
    return [
        {
            name: [_as_shown(line) for line in value] if name in ("commands", "undo") else value
            for name, value in action.items()
            if name not in ("destroys", "undo_restores", "result")
        }
        for action in actions
    ]


def _as_shown(line: str) -> str:
    """Return a command over SSH by the name of its server, as samaops logs in now; any other as it is."""
    words = shlex.split(line) if line.startswith("ssh ") else []
    names = {"127.101.0.1": "db", "127.101.0.2": "api", "127.101.0.3": "workers"}
    return f"samaops --lab ssh {names[words[-2].partition('@')[2]]} -- {words[-1]}" if words else line


def counted(snapshot: Snapshot) -> Snapshot:
    """Return a look with the broker's own counts, which an earlier version did not ask for: what it was shown."""

    def of_broker(facts: Any) -> Any:
        if not isinstance(facts, RabbitMQFacts):
            return facts
        queues = [
            replace(queue, counted=Count(queue.ready or 0, queue.consumers or 0))
            for queue in facts.queues or ()
        ]
        return replace(facts, queues=tuple(queues))

    seen = [replace(observation, facts=of_broker(observation.facts)) for observation in snapshot.observations]
    return replace(snapshot, observations=tuple(seen))


def recorded(journal: Path, change: str) -> Change:
    """Return a change as the journal has it."""
    opened = Journal(f"sqlite:///{journal}", SITE)
    try:
        found = opened.change(change)
    finally:
        opened.close()
    assert found is not None
    return found


def test_what_maintenance_kept_in_an_earlier_version_is_still_known(
    samaops: Samaops, journal: Path, redis_server: tuple[str, int]
) -> None:
    records = kept(journal)
    settings = Settings.model_validate(
        {"site": SITE, "history": {"url": {"literal": f"sqlite:///{journal}"}}}
    )
    earlier = maintenance_past.read(Site(settings), DAILY)
    past, newest = earlier.past, records[-1]
    assert (past.failure, list(earlier.alerts)) == ("", newest["alerts"])
    assert {
        server: [(file.name, file.to_byte) for file in marks.files] for server, marks in past.marks.items()
    } == {
        server: [(file["name"], file["to_byte"]) for file in marks["files"]]
        for server, marks in newest["marks"].items()
    }
    # Which run is compared with depends on how long ago it was; the time of the look tells which it is.
    assert past.mounts.keys() == newest["mounts"].keys()
    for server, mounts in past.mounts.items():
        seen = [(mount.mount, mount.at, mount.used_bytes, len(mount.entries)) for mount in mounts]
        assert seen in [
            [
                (mount["mount"], mount["at"], mount["used_bytes"], len(mount["entries"]))
                for mount in record["mounts"][server]
            ]
            for record in records
        ]

    config = configured(samaops, f'[maintenance]\nlog = "{samaops.home}/log"\n{redis_at(redis_server)}')
    done = samaops("--config", config, "maintain", "daily", "--only", "redis", "-o", "json")
    assert done.code == 0, done
    (known,) = [one for one in done.json()["findings"] if one["code"] == "maintenance.history.unreadable"]
    assert known["title"].endswith("2026-11-28T02:14:13.052+00:00")
    assert len(kept(journal)) == len(records) + 1


def kept(journal: Path) -> list[dict[str, Any]]:
    """Return the records of maintenance, oldest first, as they are in the file."""
    with closing(sqlite3.connect(journal)) as connection:
        return [
            json.loads(row[0])
            for row in connection.execute("SELECT details FROM samaops_records ORDER BY number")
        ]
