"""Releases in a lab of their own: kept, looked at, gone back to, under requests, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from samaops.lab.servers import run_in
from tests.service.lab_fixture import RunningLab, running_lab
from tests.service.postgres_server import eventually

pytestmark = [pytest.mark.lab, pytest.mark.service, pytest.mark.timeout(400)]
OLD, ADDING, BAD, DROPPING = "2.0.0", "2.1.0", "2.1.1", "3.0.0"
MEMBERS = ("samaconso_api_1", "samaconso_api_2")
ALL = (*MEMBERS, "samaconso_celery_worker_1", "samaconso_celery_worker_2", "samaconso_flower")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """Return a lab in which 2.0.0 and 2.1.0 ran and are recorded; 2.1.0 runs. Without containers there are no releases."""
    with running_lab(tmp_path_factory.mktemp("releases")) as lab:
        if not lab.site.has_containers:
            pytest.skip("no container engine runs here")
        lab.samaops("--lab", "release", "record", "--yes", expected=0)
        deploy(lab, ADDING)
        yield lab


def deploy(lab: RunningLab, version: str) -> None:
    lab.samaops("lab", "release", version, expected=0)
    lab.samaops("--lab", "release", "record", "--yes", expected=0)


def listed(lab: RunningLab) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        lab.samaops("--lab", "release", "list", "-o", "json", expected=0).stdout
    )["releases"]
    return rows


def running(lab: RunningLab) -> dict[str, str]:
    """Return the release of each container of the application."""
    return {name: row["release"] for row in listed(lab) for name in row["containers"]}


def way(lab: RunningLab, *words: str) -> tuple[dict[str, Any], int]:
    done = lab.samaops("--lab", "rollback", "check", *words, "-o", "json")
    return json.loads(done.stdout)["rollback"][0], done.returncode


def on(lab: RunningLab, server: str, *argv: str) -> str:
    done = run_in(lab.site.server(server), argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings_of_pool(lab: RunningLab) -> dict[str, str]:
    rows = json.loads(lab.samaops("--lab", "balancer", "list", "-o", "json").stdout)["balancer_members"]
    return {row["member"]: row["setting"] for row in rows}


def served(lab: RunningLab) -> str:
    """Return which release the balancer's address answers with."""
    command = [*lab.network, "curl", "-sf", "-m", "5", "http://127.101.0.10:8080/version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return str(json.loads(done.stdout)["version"]) if done.returncode == 0 else ""


def is_well(lab: RunningLab, member: str) -> bool:
    """Return whether a member itself answers its health path well."""
    command = [*lab.network, "curl", "-sf", "-m", "5", f"http://{member}/health"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_list_says_which_runs_and_which_is_kept(lab: RunningLab) -> None:
    deploy(lab, ADDING)
    found = {
        (row["server"], row["release"]): (row["runs"], row["is_kept"], row["head"]) for row in listed(lab)
    }
    assert found == {
        ("api", ADDING): (2, True, "7d02f5e6a81b"),
        ("api", OLD): (0, True, "1a4e7c20b9d3"),
        ("workers", ADDING): (3, True, "7d02f5e6a81b"),
        ("workers", OLD): (0, True, "1a4e7c20b9d3"),
    }
    again = lab.samaops("--lab", "release", "record", "--yes", expected=0)
    assert "Nothing to do" in again.stdout


def test_one_release_has_one_image_id_on_both_servers(lab: RunningLab) -> None:
    ids = {row["image"] for row in listed(lab) if row["release"] == OLD}
    assert len(ids) == 1


def without_tolerance(lab: RunningLab, tmp_path: Path) -> tuple[str, str]:
    """Return the options for the lab's configuration where nothing newer is borne by older code."""
    text = lab.layout.config_file.read_text(encoding="utf-8")
    assert "tolerates_additions = true" in text
    file = tmp_path / "strict.toml"
    file.touch(mode=0o600)
    file.write_text(
        text.replace("tolerates_additions = true", "tolerates_additions = false"), encoding="utf-8"
    )
    return "--config", str(file)


def test_a_release_that_does_not_know_the_database_is_refused_with_both_revisions(
    lab: RunningLab, tmp_path: Path
) -> None:
    strict = without_tolerance(lab, tmp_path)
    before = on(lab, "api", "docker", "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}")
    done = lab.samaops(*strict, "rollback", "app", "--yes", expected=77)
    assert "7d02f5e6a81b" in done.stderr
    assert "1a4e7c20b9d3" in done.stderr
    assert on(lab, "api", "docker", "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}") == before
    check = lab.samaops(*strict, "rollback", "check", "-o", "json", expected=1)
    assert json.loads(check.stdout)["rollback"][0]["verdict"] == "needs downgrade"
    assert way(lab)[0]["verdict"] == "code only"


@pytest.mark.parametrize(
    "prune",
    [("docker", "image", "prune", "-af", "--filter", "until=72h"), ("docker", "system", "prune", "-af")],
    ids=["the guide's, of images", "of the whole engine"],
)
def test_no_prune_takes_the_way_back(lab: RunningLab, prune: tuple[str, ...]) -> None:
    for server in ("api", "workers"):
        on(lab, server, *prune)
    found, code = way(lab)
    assert (found["release"], found["verdict"], code) == (OLD, "code only", 0)
    lab.samaops("--lab", "release", "record", "--yes", expected=0)
    assert all(row["is_kept"] for row in listed(lab)), "what was taken is there again"


def test_an_image_that_is_gone_with_its_file_is_said_to_be_gone(lab: RunningLab) -> None:
    rows = [row for row in listed(lab) if row["release"] == OLD and row["server"] == "workers"]
    file = f"/data/releases/{rows[0]['short']}.tar"
    on(lab, "workers", "mv", file, f"{file}.aside")
    on(lab, "workers", "docker", "system", "prune", "-af")
    try:
        found, code = way(lab)
        assert (found["verdict"], code) == ("impossible", 2)
        assert (
            found["reason"]
            == f"the image of {OLD} ({rows[0]['short']}) is gone from workers, and so is its file"
        )
        assert ("rollback-impossible", "release/application") in lab.causes()
        lab.samaops("--lab", "rollback", "app", "--yes", expected=77)
    finally:
        on(lab, "workers", "mv", f"{file}.aside", file)
        lab.samaops("--lab", "release", "record", "--yes", expected=0)


class Requests:
    """Requests through the balancer's address, from inside the lab's network, until they are ended."""

    _PROGRAM = """
import sys, time, urllib.request
outcomes, ends = {}, time.monotonic() + 300
paths = ["/health", "/api/consumption/7", "/version"]
count = 0
while time.monotonic() < ends and not sys.stdin.closed:
    import select
    if select.select([sys.stdin], [], [], 0.04)[0]:
        break
    path = paths[count % 3]
    count += 1
    try:
        with urllib.request.urlopen("http://127.101.0.10:8080" + path, timeout=10) as answer:
            key = str(answer.status)
    except Exception as error:
        key = str(getattr(error, "code", type(error).__name__))
    outcomes[key] = outcomes.get(key, 0) + 1
print(outcomes)
"""

    def __init__(self, lab: RunningLab) -> None:
        command = [*lab.network, sys.executable, "-c", self._PROGRAM]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def outcomes(self) -> dict[str, int]:
        """End them and return how many there were by status."""
        out, _err = self._process.communicate("\n", timeout=60)
        found: dict[str, int] = json.loads(out.replace("'", '"'))
        return found


def test_a_rollback_under_requests_loses_none_and_undo_goes_forward(lab: RunningLab) -> None:
    load = Requests(lab)
    lab.samaops("--lab", "rollback", "app", "--yes", expected=0)
    assert running(lab) == dict.fromkeys(ALL, OLD)
    assert served(lab) == OLD
    tag = on(lab, "api", "docker", "image", "inspect", "--format", "{{.Id}}", "samaconso_api:production")
    assert tag.strip() in {row["image"] for row in listed(lab) if row["release"] == OLD}
    lab.samaops("--lab", "undo", "last", "--yes", expected=0)
    assert running(lab) == dict.fromkeys(ALL, ADDING)
    outcomes = load.outcomes()
    assert set(outcomes) == {"200"}, outcomes
    assert outcomes["200"] > 100


def test_a_bad_release_at_noon_is_gone_back_from(lab: RunningLab) -> None:
    deploy(lab, BAD)
    assert served(lab) == ""
    lab.samaops("--lab", "rollback", "app", "--yes", expected=0)
    assert served(lab) == ADDING
    assert running(lab) == dict.fromkeys(ALL, ADDING)


def test_a_container_that_does_not_get_well_ends_it_at_the_first_member(lab: RunningLab) -> None:
    """The bad release is one of those that ran: to go to it must end with what was."""
    if BAD not in {row["release"] for row in listed(lab)}:
        deploy(lab, BAD)
        lab.samaops("--lab", "rollback", "app", "--to", ADDING, "--yes", expected=0)
    second = on(lab, "api", "docker", "inspect", "--format", "{{.Id}}", "samaconso_api_2")
    load = Requests(lab)
    done = lab.samaops("--lab", "rollback", "app", "--to", BAD, "--yes", "--wait", "12", expected=2)
    outcomes = load.outcomes()
    assert "taken back" in done.stderr + done.stdout
    assert running(lab) == dict.fromkeys(ALL, ADDING)
    assert on(lab, "api", "docker", "inspect", "--format", "{{.Id}}", "samaconso_api_2") == second
    assert set(settings_of_pool(lab).values()) == {"enabled"}
    assert set(outcomes) == {"200"}, outcomes


def begun_steps(lab: RunningLab) -> tuple[str, list[int]]:
    """Return the newest change and the steps that it has begun, as its journal tells while it is made."""
    file = lab.state_home / "samaops" / "history.sqlite3"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as journal:
        (newest,) = journal.execute(
            "SELECT change FROM samaops_events ORDER BY number DESC LIMIT 1"
        ).fetchone()
        query = "SELECT step FROM samaops_events WHERE change = ? AND kind = 'step_begun' ORDER BY number"
        return newest, [number for (number,) in journal.execute(query, (newest,))]


def composing(lab: RunningLab, server: str) -> bool:
    return (
        run_in(lab.site.server(server), ["pgrep", "-f", "[d]ocker.compose.*--force-recreate"]).returncode == 0
    )


def newest_change(lab: RunningLab) -> dict[str, Any]:
    listed = lab.samaops("--lab", "history", "list", "-o", "json", expected=0).stdout
    change: dict[str, Any] = json.loads(listed)["changes"][0]
    return change


def other(lab: RunningLab) -> str:
    """Return the one of two releases that does not run now: to go there costs no way back."""
    return ADDING if running(lab)[MEMBERS[0]] == OLD else OLD


# A member taken out, its container being replaced, the next one's, a worker's.
@pytest.mark.parametrize("step", [0, 1, 5, 8])
def test_killed_at_a_step_no_member_stays_out_and_the_next_run_goes_on(lab: RunningLab, step: int) -> None:
    earlier, _steps = begun_steps(lab)
    wanted = other(lab)
    before = ({OLD, ADDING} - {wanted}).pop()

    def has_begun() -> bool:
        newest, steps = begun_steps(lab)
        return newest != earlier and step in steps

    environment = {**os.environ, "XDG_STATE_HOME": str(lab.state_home)}
    words = ("--lab", "rollback", "app", "--to", wanted, "--yes")
    command = [*lab.network, sys.executable, "-m", "samaops", *words]
    process = subprocess.Popen(
        command, env=environment, cwd=Path(__file__).parents[2], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(has_begun, 150)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert newest_change(lab)["status"] == "interrupted"
    # [release] member_seconds of the lab, and what was begun on a server
    eventually(lambda: set(settings_of_pool(lab).values()) == {"enabled"}, 100)
    # What was begun on a server goes on there without us, and a run that is planned meanwhile is refused.
    eventually(lambda: not any(composing(lab, server) for server in ("api", "workers")), 60)
    eventually(lambda: set(running(lab)) == set(ALL), 60)
    eventually(lambda: served(lab) in (OLD, ADDING), 30)
    if step == 1:
        lab.samaops("--lab", "undo", "last", "--yes", expected=0)
        assert running(lab) == dict.fromkeys(ALL, before)
    else:
        lab.samaops(*words, expected=0)
        assert running(lab) == dict.fromkeys(ALL, wanted)


def test_members_of_two_releases_are_critical(lab: RunningLab) -> None:
    stray = other(lab)
    row = next(row for row in listed(lab) if row["release"] == stray and row["server"] == "api")
    name = f"samaops.keep/samaconso_api:{row['short']}"
    file = lab.site.server("api").outer(Path("/run/half.yml"))
    file.write_text(f'version: "2.4"\nservices:\n  api_1:\n    image: {name}\n', encoding="utf-8")
    compose = ["docker-compose", "-p", "samaconso", "--project-directory", "/opt/samaconso"]
    compose += ["-f", "/opt/samaconso/docker-compose.production.yml"]
    on(lab, "api", *compose, "-f", "/run/half.yml", "up", "-d", "--no-deps", "api_1")
    eventually(lambda: is_well(lab, "127.101.0.2:8001"), 60)
    try:
        report, code = lab.diagnose("--only", "release,docker,api")
        assert code == 2
        assert ("releases-differ", "release/application") in [
            (cause["id"], cause["subject"]) for cause in report["causes"]
        ]
    finally:
        lab.samaops("--lab", "rollback", "app", "--to", ADDING, "--yes", expected=0)
    assert running(lab) == dict.fromkeys(ALL, ADDING)


def superuser(lab: RunningLab, statement: str) -> str:
    """Run a statement as PostgreSQL's own user and return its answer."""
    psql = ["psql", "-X", "-h", "127.101.0.1", "-U", "postgres", "-At", "-d", "samaconso", "-c", statement]
    environment = {**os.environ, "PGPASSWORD": lab.layout.secrets().postgres_password}
    done = subprocess.run([*lab.network, *psql], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


REVISION = "SELECT version_num FROM alembic_version"


def test_the_database_goes_down_proved_on_a_copy_then_the_code_and_up_again(
    lab: RunningLab, tmp_path: Path
) -> None:
    strict = without_tolerance(lab, tmp_path)
    superuser(lab, "UPDATE notifications SET channel = 'sms' WHERE id IN (SELECT min(id) FROM notifications)")
    plan = lab.samaops(*strict, "rollback", "db", "--dry-run", expected=0)
    assert "SQL: ALTER TABLE notifications DROP COLUMN channel" in plan.stdout + plan.stderr
    lost = "1 values in channel of public.notifications"
    report = json.loads(lab.samaops(*strict, "rollback", "db", "--dry-run", "-o", "json", expected=0).stdout)
    assert lost in report["actions"][-1]["destroys"]
    lab.samaops(*strict, "rollback", "db", "--yes", expected=77)
    assert superuser(lab, REVISION) == "7d02f5e6a81b", "it must be typed for"
    lab.samaops(*strict, "rollback", "db", "--confirm", "samaconso", expected=0)
    assert superuser(lab, REVISION) == "1a4e7c20b9d3"
    assert superuser(lab, "SELECT count(*) FROM pg_database WHERE datname LIKE 'samaops%'") == "0"
    lab.samaops(*strict, "rollback", "app", "--yes", expected=0)
    assert running(lab) == dict.fromkeys(ALL, OLD)
    nothing = lab.samaops(*strict, "rollback", "db", "--to", OLD, expected=0)
    assert "Nothing to do" in nothing.stdout
    deploy(lab, ADDING)
    assert superuser(lab, REVISION) == "7d02f5e6a81b"
    assert running(lab) == dict.fromkeys(ALL, ADDING)


def test_what_drops_a_column_leaves_only_a_restore_which_brings_it_back(lab: RunningLab) -> None:
    lab.samaops("--lab", "release", "begin", "3.0.0", "--yes", expected=0)
    deploy(lab, DROPPING)
    found, code = way(lab)
    assert (found["release"], found["verdict"], found["between"], code) == (
        ADDING, "needs restore", ["c95e3b1f40a7"], 1,
    )  # fmt: skip
    done = lab.samaops("--lab", "rollback", "app", "--yes", expected=77)
    assert "needs a restore" in done.stderr
    assert Counter(running(lab).values()) == {DROPPING: len(ALL)}
    phones = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'phone'"
    assert superuser(lab, phones) == "0"
    lab.samaops("--lab", "rollback", "db", "--yes", expected=77)
    lab.samaops("--lab", "rollback", "db", "--confirm", "samaconso", expected=0)
    assert (superuser(lab, phones), superuser(lab, REVISION)) == ("1", "7d02f5e6a81b")
    lab.samaops("--lab", "rollback", "app", "--yes", expected=0)
    assert running(lab) == dict.fromkeys(ALL, ADDING)
