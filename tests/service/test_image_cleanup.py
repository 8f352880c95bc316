"""Images of a real engine: those nothing needs are removed through the action engine, all others stay."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samaops.config.schedule_settings import Maintenance
from samaops.config.settings import Docker, Safety, Server, Settings
from samaops.errors import RefusedError
from samaops.facts.maintenance import ImagesFacts
from samaops.facts.selection import Selection
from samaops.journal.lock import FileLock, file_name
from samaops.journal.owner import Owner
from samaops.model.plan import ActionStatus, Plan
from samaops.model.status import Status
from samaops.render.bulletin import bulletin
from samaops.site.site import Site
from samaops.workflows import change, diagnose
from samaops.workflows.maintenance import routine
from samaops.workflows.maintenance.daily import DAILY
from samaops.workflows.maintenance.request import Outcome, Request
from tests.service.docker_engine import Engine, running_engine

pytestmark = pytest.mark.service
# So short that whatever was made by an earlier command is older.
MOMENT_HOURS = 0.001 / 3600
SIZE_BYTES = 3_000_000
Daily = Callable[..., Outcome]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as started:
        yield started


@pytest.fixture
def site(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """One server that is this machine; four releases, of which a stopped container uses the second."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for release in range(1, 5):
        (tmp_path / "content").write_bytes(os.urandom(SIZE_BYTES))
        packed = subprocess.run(
            ["tar", "-C", str(tmp_path), "-c", "content"], capture_output=True, check=True, timeout=20
        )
        engine.docker("import", "-", f"app:{release}", stdin=packed.stdout)
    if "keeps-2" not in engine.docker("ps", "-a", "--format", "{{.Names}}").split():
        engine.docker("create", "--name", "keeps-2", "app:2", "/content")
        engine.docker("volume", "create", "precious")
    return Settings(
        site="images",
        servers={"api": Server(address="127.0.0.1", ssh="local")},
        docker=Docker(containers={"api": ("keeps-2",)}),
        maintenance=Maintenance(log=tmp_path / "log" / "daily.log", image_age_hours=MOMENT_HOURS),
        safety=Safety(lock_directory=tmp_path),
    )


def daily(settings: Settings, *, refuse: bool = False, dry_run: bool = False) -> Outcome:
    def consent(_plan: Plan) -> None:
        if refuse:
            raise RefusedError("nobody said yes")

    return routine.run(Site(settings), DAILY, Request(consent, bulletin, ("images",), dry_run=dry_run))


def images(settings: Settings) -> ImagesFacts:
    snapshot = diagnose.observe(Site(settings), Selection(only=("maintenance.images",)))
    return next(facts for _one, facts in snapshot.facts_of(ImagesFacts))


def tags(settings: Settings) -> set[str]:
    return {tag for one in images(settings).images for tag in one.tags}


def test_what_nothing_needs_is_removed_and_the_second_run_has_nothing_to_do(
    engine: Engine, site: Settings
) -> None:
    planned = daily(site, dry_run=True).report
    assert [one.status for one in planned.actions] == [ActionStatus.PLANNED]
    assert planned.actions[0].commands == ("docker image rm app:1",)
    assert "app:1" in tags(site), "a dry run changes nothing"
    assert not site.maintenance.log.exists()

    done = daily(site)
    assert [one.status for one in done.report.actions] == [ActionStatus.VERIFIED]
    assert tags(site) >= {"app:2", "app:3", "app:4"}
    assert "app:1" not in tags(site)
    assert engine.docker("volume", "ls", "-q") == "precious"
    (finding,) = [one for one in done.report.findings if one.code == "maintenance.images.unused"]
    assert finding.status is Status.OK
    assert finding.evidence["removed"] == ["app:1"]
    assert 0.9 * SIZE_BYTES < finding.evidence["reclaimed_bytes"] < 1.5 * SIZE_BYTES
    assert "1 image removed" in site.maintenance.log.read_text()

    again = daily(site).report
    assert again.actions == ()
    assert again.status is Status.OK


def test_without_a_yes_nothing_is_removed_and_the_exit_code_says_so(site: Settings) -> None:
    refused = daily(site, refuse=True)
    assert refused.exit_code == 77
    assert [one.status for one in refused.report.actions] == [ActionStatus.REFUSED]
    assert refused.report.status is Status.WARNING
    assert "app:1" in tags(site)


def test_while_another_machine_changes_the_server_nothing_is_removed_and_the_finding_names_it(
    site: Settings, tmp_path: Path
) -> None:
    other = FileLock(tmp_path / file_name("images", "api"))
    other.take(Owner("awa", "thies", 7, "", "2026-11-21"))
    try:
        report = daily(site).report
    finally:
        other.release()
    assert [one.status for one in report.actions] == [ActionStatus.REFUSED]
    (finding,) = [one for one in report.findings if one.code == "maintenance.images.unused"]
    assert "on api by awa on thies, process 7" in finding.detail
    assert "app:1" in tags(site)
    assert [one.status for one in daily(site).report.actions] == [ActionStatus.VERIFIED]


def test_a_container_that_is_made_after_the_plan_keeps_its_image(engine: Engine, site: Settings) -> None:
    plan = change.prepare(Site(site), "docker cleanup", ())
    engine.docker("create", "--name", "late", "app:1", "/content")
    try:
        report = change.apply(Site(site), plan, 1.0)
    finally:
        engine.docker("rm", "late")
    assert [one.status for one in report.actions] == [ActionStatus.REFUSED], report
    assert "app:1" in tags(site)


def test_an_image_under_several_names_goes_with_all_of_them(engine: Engine, site: Settings) -> None:
    engine.docker("tag", "app:1", "app:old")
    daily(site)
    assert not tags(site) & {"app:1", "app:old"}


def test_images_younger_than_the_limit_stay(site: Settings) -> None:
    strict = site.model_copy(
        update={"maintenance": site.maintenance.model_copy(update={"image_age_hours": 72.0})}
    )
    assert daily(strict).report.status is Status.OK
    assert "app:1" in tags(site)


def test_an_engine_that_is_down_is_unknown_and_nothing_is_planned(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    report = daily(site).report
    assert report.actions == ()
    (finding,) = [one for one in report.findings if one.code == "maintenance.images.unused"]
    assert finding.status in (Status.UNKNOWN, Status.CRITICAL)
