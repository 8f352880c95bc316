"""What a log-in without rights lacks is said once, with the command that grants it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from msgspec.structs import replace

from samaops.collect import engine
from samaops.config.settings import PostgreSQL, Settings
from samaops.facts.observation import Observation, Snapshot
from samaops.model.failure import Failure, FailureKind
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import connect
from tests.unit.checks.test_postgresql import HEALTHY

MOMENT = datetime(2026, 1, 31, 6, 0, tzinfo=timezone.utc)


def test_a_right_that_lacks_is_one_line_with_the_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = Failure(FailureKind.PERMISSION, "permission denied for function pg_ls_waldir", "wal")
    facts = replace(HEALTHY, wal=None)
    look = Observation("postgresql", "postgresql/db", "db", "PostgresFacts", facts, missing={"wal": denied})
    monkeypatch.setattr(engine, "observe", lambda *_: Snapshot(MOMENT, (look,)))
    report = connect.connect(Site(Settings(postgresql=PostgreSQL(user="sama-ops"))))
    unseen = [finding for finding in report.findings if finding.status is Status.UNKNOWN]
    assert [finding.hint for finding in unseen] == [
        "sudo -u postgres psql -c 'GRANT pg_monitor TO \"sama-ops\"'"
    ]
    assert "permission denied" in unseen[0].detail
    assert [finding.status for finding in report.findings if finding not in unseen] == [Status.OK]


def test_a_role_that_sees_its_own_sessions_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(HEALTHY, is_monitor=False)
    look = Observation("postgresql", "postgresql/db", "db", "PostgresFacts", facts)
    monkeypatch.setattr(engine, "observe", lambda *_: Snapshot(MOMENT, (look,)))
    report = connect.connect(Site(Settings(postgresql=PostgreSQL())))
    (hidden,) = [finding for finding in report.findings if finding.status is Status.WARNING]
    assert (hidden.code, hidden.hint) == (
        "config.rights",
        "sudo -u postgres psql -c 'GRANT pg_monitor TO samaops'",
    )
