"""Nothing is restarted before what it shows is kept; what was kept is read by `diagnose --from`, without secrets."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from samaops.changes.docker import restart
from samaops.changes.docker.restart import RESTART, Restarting, evidence_directory
from samaops.changes.run import docker as restarting
from samaops.changes.run import operations
from samaops.collect import store
from samaops.config.settings import Settings
from samaops.facts.docker import EvidenceFacts, EvidencePart
from samaops.facts.observation import Snapshot
from samaops.model.plan import Operation
from samaops.site.site import Site
from samaops.workflows import diagnose
from tests.unit.checks.judging import seen

SITE = Site(
    Settings.model_validate(
        {
            "servers": {"api": {"address": "127.0.0.1", "ssh": "local"}},
            "docker": {"containers": {"api": ["a1"]}},
        }
    )
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def operation(command: str) -> Operation:
    return Operation(RESTART, {"container": "a1", "command": command}, "api", 20.0)


def kept() -> list[Path]:
    return sorted(Path(evidence_directory()).glob("*.json"))


def test_what_it_shows_is_kept_first_also_where_there_is_no_docker(tmp_path: Path) -> None:
    done = tmp_path / "done"
    outcome = operations.run(operation(f'test -n "$(ls {evidence_directory()})" && touch {done}'), SITE)
    assert outcome.is_ok, outcome.output
    assert done.exists(), "the file was there before the command ran"
    (path,) = kept()
    assert str(path) in outcome.output
    assert outcome.measured["evidence"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    (facts,) = [facts for _seen, facts in store.load(path).snapshot.facts_of(EvidenceFacts)]
    assert facts.name == "a1"
    assert "docker.evidence.backlog" in {finding.code for finding in diagnose.judge_saved(path).findings}


def test_without_a_place_for_it_nothing_is_restarted(state: Path) -> None:
    (state / "samaops").write_text("in the way")
    done = state / "done"
    outcome = operations.run(operation(f"touch {done}"), SITE)
    assert (outcome.is_ok, outcome.is_seen, done.exists()) == (False, True, False)
    assert "so it stays as it is" in outcome.output


def test_only_the_newest_files_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "MOST_FILES", 2)
    facts = EvidenceFacts("a1", "2026-01-31T03:12:00+00:00", 1, (EvidencePart("state", ("{}",)),))
    look = Snapshot(datetime.now(timezone.utc), (seen("docker/a1", facts, "api"),))
    for name in ("c", "b", "../a"):
        restarting.keep(SITE, look, name)
    names = [path.name.partition("-")[2] for path in kept()]
    assert len(names) == 2
    assert all("/" not in name for name in names)


def test_a_command_that_fails_is_no_restart() -> None:
    outcome = operations.run(operation("echo no such container >&2; exit 1"), SITE)
    assert (outcome.is_ok, "no such container" in outcome.output) == (False, True)


def test_it_is_shown_as_a_person_would_type_it() -> None:
    words = Restarting("a1", "docker restart -t 30 a1")
    (line,) = operations.lines(operation(words.command), SITE)
    assert line == "docker restart -t 30 a1"
    assert restart.EVIDENCE_SECONDS == 10.0
