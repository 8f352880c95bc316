"""A job that fails, with a real AlertManager: it fires until the job goes well, and not while it is silenced."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from samaops.config.settings import Settings
from samaops.facts.schedule import FAILED, OK, Run
from samaops.facts.telling import Silence
from samaops.journal.ledger import Ledger
from samaops.render.bulletin import bulletin
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.notify import marking
from samaops.workflows.schedule.announcing import attempt
from tests.service.listeners import http_listener
from tests.service.postgres_server import eventually
from tests.service.watchers import alertmanager

pytestmark = pytest.mark.service
CODE, SUBJECT = "schedule.run.failed", "schedule/own"


def run(site: Site, state: str, code: int) -> None:
    """Let the job end so, and tell what is to be told."""
    now = datetime.now(timezone.utc)
    journal = change.journal_of(site)
    row = Run("own", now, state, started_at=now, ended_at=now, exit_code=code, reason="why", host="control")
    Ledger(journal, site.name).claim(row)
    journal.close()
    assert attempt(site, bulletin, ()) == ()


def test_a_job_that_fails_fires_until_it_goes_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with http_listener() as pager, alertmanager(tmp_path, pager.url) as alerts:
        settings = {
            "site": "telling",
            "schedule": {"jobs": {"own": {"at": "0 2 * * *", "command": "backup list"}}},
            "notify": {"alertmanager": {"url": alerts.url}},
        }
        site = Site(Settings.model_validate(settings))
        now = datetime.now(timezone.utc)
        silence = Silence(
            1, CODE, SUBJECT, now + timedelta(hours=1), "known", "awa", now - timedelta(hours=1)
        )
        marking.with_history(site, lambda kept: kept.silence(silence))
        run(site, FAILED, 2)
        assert alerts.firing() == [], "silenced"
        marking.with_history(site, lambda kept: kept.end(1, "awa", "over", now))
        run(site, FAILED, 2)
        (fired,) = eventually(alerts.firing)
        assert (fired["labels"]["alertname"], fired["labels"]["subject"]) == (CODE, SUBJECT)
        assert fired["annotations"]["hint"] == "samaops schedule explain own"
        assert "exit code 2" in fired["annotations"]["description"]
        run(site, OK, 0)
        eventually(lambda: not alerts.firing())
        eventually(lambda: [each for each in pager.documents() if each["status"] == "resolved"])
