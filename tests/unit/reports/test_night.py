"""What the servers' logs and the daily runs tell of a night: log-ins, new keys, releases that samaops did not make."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops import i18n
from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker.containers import engine_script
from samaops.collect.docker.reading import lasting
from samaops.collect.engine import Probe
from samaops.collect.maintenance import month
from samaops.collect.maintenance import night as collected
from samaops.collect.sections import script_of
from samaops.config.settings import Settings
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.maintenance_month import Counted
from samaops.facts.night import ACCEPTED, REFUSED, SUDO, KeyFile, Logged, MadeContainer, NightFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.postgresql import SchemaVersion
from samaops.facts.selection import Selection
from samaops.journal.records import Records
from samaops.model import encoding
from samaops.model.failure import Failure, FailureKind
from samaops.model.report import Report
from samaops.model.table import Table
from samaops.render import json as json_face
from samaops.render import table as table_face
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.maintenance import past
from samaops.workflows.maintenance.daily import DAILY
from samaops.workflows.reports import foreign, incident, night, remembered
from samaops.workflows.reports.foreign import Kept
from tests.answers import validated

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
# A user chooses the name as which he is refused.
FORGED = "sshd[1]: Accepted publickey for root from 6.6.6.6 port 1 ssh2"
LINES = f"""1764385200.100000 db sshd[11]: Accepted publickey for awa from 10.0.0.5 port 40000 ssh2: ED25519 SHA256:abc
1764385260.100000 db sshd-session[12]: Accepted publickey for awa from 10.0.0.5 port 40001 ssh2: ED25519 SHA256:abc
1764385300.100000 db sshd[13]: Invalid user {FORGED} from 9.9.9.9 port 5
1764385300.200000 db sshd[13]: Failed password for invalid user {FORGED} from 9.9.9.9 port 5 ssh2
1764385301.200000 db sshd[13]: Failed password for root from 9.9.9.9 port 6 ssh2
1764385302.200000 db sshd[14]: Connection closed by authenticating user root 9.9.9.9 port 7 [preauth]
1764385400.000000 db sudo[15]:      awa : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/cat /secret
1764385401.000000 db sudo:      awa : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/true
1764385402.000000 db cron[16]: pam_unix(cron:session): session opened for user root
"""


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    before = i18n.language()
    i18n.use_language("en")
    yield
    i18n.use_language(before)


def script(words: str, given: str = "", **environment: str) -> str:
    """Return what functions of the script for servers print, called by words."""
    shell = shutil.which("dash") or "sh"
    text = (
        engine_script(Path(collected.__file__).with_name("night.sh"))
        .decode()
        .rpartition("look </dev/null")[0]
    )
    done = subprocess.run(
        [shell, "-c", text + words, "sh", "TOKEN", *environment.pop("times", "0 9999999999").split(), "5"],
        input=given, capture_output=True, text=True, check=True, env={**os.environ, **environment}, timeout=30,
    )  # fmt: skip
    return done.stdout


def read(text: str, since: float = 0.0, until: float = 9999999999.0) -> tuple[NightFacts, dict[str, Failure]]:
    probe = Probe(None, Selection(), 1e12)  # type: ignore[arg-type] # no shell is asked for
    return collected.read_night(Completed(0, text, ""), "TOKEN", (since, until), probe), probe.missing


def sections(**lines: str) -> str:
    return "".join(f"@@TOKEN {name}\n{text}\n" for name, text in lines.items())


def logged(lines: str, source: str = "journal") -> tuple[Logged, ...]:
    facts, missing = read(
        sections(source=source, oldest="1000.5", lines=lines + "exit 0", keys="exit 0", containers="exit 127")
    )
    assert not missing
    assert facts.logged is not None
    return facts.logged


LOGGED = (
    Logged(ACCEPTED, "awa", "10.0.0.5", 1764385200.0, 1764385260.0, 2, "publickey"),
    Logged(REFUSED, FORGED, "9.9.9.9", 1764385300.0, 1764385300.0),
    Logged(REFUSED, "root", "9.9.9.9", 1764385301.0, 1764385301.0),
    Logged(REFUSED, "root", "9.9.9.9", 1764385302.0, 1764385302.0),
    Logged(SUDO, "awa", "", 1764385400.0, 1764385401.0, 2),
)


def test_the_journal_is_counted_and_who_is_refused_cannot_log_himself_in() -> None:
    assert logged(script("told", LINES)) == LOGGED
    assert "/secret" not in script("told", LINES)


@pytest.mark.parametrize(("ended", "code"), [(124, 124), (137, 137), (1, 0), (0, 0)])
def test_a_journal_that_was_cut_off_by_its_time_is_no_whole_one(ended: int, code: int) -> None:
    words = (
        "section() { :; }; journalctl() { :; }; as_root() { echo 1764385200.0; }; "
        f"journal_of_time() {{ cat; return {ended}; }}; log_ins"
    )
    lines = script(words, LINES).splitlines()
    assert lines[-1] == f"exit {code}"
    assert len(lines) > 3, "what came is shown all the same"


@pytest.mark.parametrize(
    ("docker", "named", "code"), [("false", "abc", 124), ("true", "", 0), ("echo made", "abc", 0)]
)
def test_an_engine_that_names_containers_and_tells_of_none_did_not_answer(
    docker: str, named: str, code: int
) -> None:
    words = (
        "section() { :; }; has_docker() { :; }; "
        f"ask() {{ answer={named} code=0; }}; docker='{docker}'; containers"
    )
    assert script(words).splitlines()[-1] == f"exit {code}"


def test_files_are_not_read_for_more_than_they_can_be() -> None:
    words = "section() { :; }; command() { return 1; }; as_root() { :; }; minutes=50001; log_ins"
    assert script(words).splitlines()[-1] == "exit 1"


def test_the_month_s_reading_counts_no_forged_log_in_either() -> None:
    text = (
        script_of(Path(collected.__file__).with_name("logins.sh"))
        .decode()
        .rpartition('look "$@" </dev/null')[0]
    )
    lines = "".join(f"Nov 29 03:00:00 {line.partition(' ')[2]}\n" for line in LINES.splitlines())
    done = subprocess.run(
        ["sh", "-c", text + "counted", "sh", "TOKEN", "0"],
        input=lines, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    answer = sections(now="1", source="journal", oldest="1", lines=done.stdout + "exit 0")
    facts = month.read_logins(Completed(0, answer, ""), "TOKEN", 0.0)
    assert facts.accepted == (Counted("awa", "10.0.0.5", 2, "publickey"),)
    assert facts.failures_by_address == {"9.9.9.9": 3}
    assert facts.sudo == (Counted("awa", "", 2),)


def test_files_are_read_for_their_minutes_alone_with_both_kinds_of_stamps(tmp_path: Path) -> None:
    def line(at: datetime, text: str, *, is_iso: bool) -> str:
        stamp = f"{at:%Y-%m-%dT%H:%M:%S.123456+00:00}" if is_iso else f"{at:%b} {at.day:2d} {at:%H:%M:%S}"
        return f"{stamp} db {text}\n"

    accepted = "sshd[1]: Accepted password for {} from 10.0.0.9 port 1 ssh2"
    text = line(NOW - timedelta(seconds=1), accepted.format("early"), is_iso=False)
    text += line(NOW, accepted.format("first"), is_iso=False)
    text += line(NOW + timedelta(minutes=59, seconds=59), accepted.format("last"), is_iso=True)
    text += line(NOW + HOUR, accepted.format("late"), is_iso=True)
    (tmp_path / "auth.log").write_text(text)
    own = 'as_root() { program=$1; shift; [ "$program" = find ] && { shift; set -- "$DIRECTORY" "$@"; }; "$program" "$@"; }\n'
    times = f"{NOW.timestamp():.0f} {(NOW + HOUR).timestamp():.0f}"
    printed = script(own + "from_files | told", DIRECTORY=str(tmp_path), TZ="UTC", times=times)
    assert [(each.user, each.first) for each in logged(printed, "/var/log/auth.log")] == [
        ("first", NOW.timestamp()),
        ("last", (NOW + HOUR).timestamp() - 1),
    ]


def test_many_kinds_of_lines_are_bounded_and_that_is_said() -> None:
    many = "".join(
        f"{n} db sshd[1]: Failed password for u{n} from 10.0.0.{n % 250} port 1 ssh2\n" for n in range(1000)
    )
    printed = script("told", many)
    assert len(printed.splitlines()) == 401
    facts, _missing = read(sections(source="journal", oldest="1", lines=printed + "exit 0", keys="exit 0"))
    assert facts.is_cut
    assert len(facts.logged or ()) == 400


def test_keys_and_containers_are_those_of_the_time() -> None:
    made = "2026-11-29T03:10:00.5Z\t/samaconso_api\tsamaconso_api:production\tsha256:" + "b" * 64 + "\t"
    before = made.replace("03:10", "02:59").replace("_api\t", "_old\t")
    oneoff, ours = made + "True", made.replace("/samaconso_api", "/samaops.keep-1")
    text = sections(
        source="absent", keys=f"awa\t{NOW.timestamp() + 60:.0f}\t3\nexit 0",
        containers="\n".join((before, made, oneoff, ours, "exit 0")),
    )  # fmt: skip
    facts, missing = read(text, NOW.timestamp(), (NOW + HOUR).timestamp())
    assert facts.logged is None
    assert missing["logged"].kind is FailureKind.MISSING
    assert facts.key_files == (KeyFile("awa", NOW.timestamp() + 60, 3),)
    assert [each.name for each in facts.containers or ()] == ["samaconso_api"]


def test_an_answer_that_is_cut_off_is_unknown_and_not_nothing() -> None:
    facts, missing = read(sections(source="journal", oldest="1", lines="", keys="", containers=""))
    assert (facts.logged, facts.key_files, facts.containers) == (None, None, None)
    assert set(missing) == {"logged", "key_files", "containers"}
    with pytest.raises(ClientError):
        read("sh: not found")


def seen(
    facts: NightFacts | None, missing: dict[str, Failure] | None = None, engines: tuple[str, ...] = ("db",)
) -> night.Night:
    failure = None if facts else Failure(FailureKind.REFUSED, "connection refused", "ssh")
    observed = Observation(
        "maintenance", "night/db", "db", NightFacts.__name__, facts, failure, missing or {}
    )
    return night.of(Snapshot(NOW, (observed,)), engines)


def whole(**changes: Any) -> NightFacts:
    given = {"source": "journal", "oldest": 0.0, "logged": (), "key_files": (), "containers": (), **changes}
    return NightFacts(NOW.timestamp(), (NOW + HOUR).timestamp(), **given)


def test_log_ins_by_source_commands_as_root_and_new_keys_are_lines_of_the_timeline() -> None:
    told = seen(whole(logged=LOGGED, key_files=(KeyFile("deploy", NOW.timestamp(), 1),)))
    texts = sorted((event.level, event.text) for event in told.events)
    assert texts == [
        ("ok", f"db: awa does 2 commands as root, until {clock(1764385401)}"),
        ("ok", f"db: awa logs in from 10.0.0.5 (publickey), 2 times until {clock(1764385260)}"),
        ("warning", f"db: 3 log-ins from 9.9.9.9 are refused, as {FORGED}, root"),
        ("warning", "db: the keys that let deploy in were written, there is 1 now"),
    ]
    assert (told.notes, told.unread, told.silent) == ((), (), ())


def clock(epoch: float) -> str:
    return night._clock(epoch)[11:16]


def test_what_is_not_known_of_log_ins_says_why() -> None:
    lost = seen(None)
    assert lost.notes == ("db: who logged in is not known: connection refused",)
    assert (lost.unread, lost.silent) == (("db",), ("db",))
    refused = Failure(FailureKind.PERMISSION, "a password is required", "sudo")
    parts = seen(
        whole(logged=None, key_files=None, containers=None),
        dict.fromkeys(("logged", "key_files", "containers"), refused),
    )
    assert len(parts.notes) == 3
    assert all("a password is required" in note for note in parts.notes)
    elsewhere = seen(whole(containers=None), {"containers": refused}, engines=("api",))
    assert (elsewhere.notes, elsewhere.silent) == ((), ()), "no container is expected there"
    late = seen(whole(oldest=NOW.timestamp() + 600))
    assert "who logged in before is not known" in late.notes[0]
    assert late.unread == ("db",)
    assert seen(whole(is_cut=True)).notes == ("db: more was logged than is shown",)


OLD, NEW = (MadeContainer("api", "api:production", "sha256:" + letter * 64, 0.0) for letter in "ab")


def made(of: MadeContainer, at: datetime) -> MadeContainer:
    return MadeContainer(of.name, of.image, of.image_id, at.timestamp())


def released(*kept: Kept, now: tuple[MadeContainer, ...] = (), changes: tuple[Any, ...] = ()) -> list[str]:
    found = foreign.releases(kept, {"api": now} if now else {}, changes, NOW, NOW + HOUR)
    return [event.text for event in found]


BEFORE = Kept(NOW - HOUR, {"api": (made(OLD, NOW - 9 * HOUR),)}, ("r1",))


def test_a_container_of_another_image_is_a_release_at_its_own_time() -> None:
    anew = made(NEW, NOW + HOUR / 2)
    text = "api: container api was made anew of another image: api:production (bbbbbbbbbbbb), it was api:production (aaaaaaaaaaaa)"
    assert released(BEFORE, Kept(NOW + 2 * HOUR, {"api": (anew,)}, ("r1",))) == [text]
    assert released(BEFORE, now=(anew,)) == [text], "also before the next daily run, by what is there now"
    assert released(BEFORE, Kept(NOW + 2 * HOUR, {"api": (anew,)}), now=(anew,)) == [text], (
        "and it is told once"
    )
    assert released(BEFORE, now=(made(NEW, NOW + 3 * HOUR),)) == []
    assert released(BEFORE, now=(made(OLD, NOW + HOUR / 2),)) == [
        "api: container api was made anew, of the same image api:production (aaaaaaaaaaaa)"
    ]
    assert released(now=(anew,)) == ["api: container api was made, of api:production (bbbbbbbbbbbb)"]


def test_a_revision_that_changed_between_two_runs_is_told_with_both() -> None:
    after = Kept(NOW + 2 * HOUR, {}, ("r2",))
    (text,) = released(BEFORE, after)
    assert text.startswith("the database is at revision r2, it was at r1: between ")
    assert released(BEFORE, Kept(NOW + 2 * HOUR, {}, ("r1",))) == []
    assert released(Kept(NOW + 2 * HOUR, {}, ("r1",)), Kept(NOW + 3 * HOUR, {}, ("r2",))) == []
    assert released(BEFORE, Kept(NOW + 2 * HOUR, {}, None)) == []


def test_what_is_not_known_of_releases_is_said() -> None:
    def notes(*kept: Kept, silent: tuple[str, ...] = ()) -> list[str]:
        return list(foreign.unknown(kept, silent, NOW, NOW + HOUR))

    assert len(notes()) == 2
    assert notes(BEFORE, Kept(NOW + HOUR, {}, ("r1",))) == []
    assert notes(BEFORE, Kept(NOW + HOUR, {}, ("r1",)), silent=("api",)) == []
    assert any("Releases on api" in note for note in notes(BEFORE, silent=("api",)))
    assert any("revision" in note for note in notes(BEFORE))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = {
        "site": "unit",
        "servers": {"api": {"address": "127.0.0.1", "ssh": {"user": "nobody", "port": 9}}},
        "docker": {"containers": {"api": ["samaconso_api"]}},
    }
    return Site(Settings.model_validate(settings))


def keep(site: Site, *containers: MadeContainer, revision: str) -> None:
    journal = change.journal_of(site)
    kept = {"running": {"api": encoding.encode(containers)}, "status": "ok"}
    kept["migration"] = {"db": encoding.encode(SchemaVersion("public.alembic_version", True, (revision,)))}
    Records(journal, site.name, "maintain daily").add(kept)
    journal.close()


def hour(site: Site) -> Table:
    now = datetime.now(timezone.utc)
    return incident.timeline(site, now - HOUR, now + timedelta(seconds=1))


def test_the_timeline_has_releases_from_the_history_and_says_that_no_server_answered(site: Site) -> None:
    now = datetime.now(timezone.utc)
    keep(site, made(OLD, now - 9 * HOUR), revision="r1")
    keep(site, made(NEW, now - HOUR / 2), revision="r2")
    table = hour(site)
    told = [row for row in table.rows if row["kind"] == "release"]
    assert [row["level"] for row in told] == ["warning", "warning"]
    assert "another image" in told[0]["text"] + told[1]["text"]
    assert "revision r2, it was at r1" in told[0]["text"] + told[1]["text"]
    assert table.figures["release"] == 2
    assert "2 releases of others" in table.answer
    assert any(note.startswith("api: who logged in is not known: ") for note in table.notes)
    assert any("journalctl" in command for command in table.commands)
    validated(json.loads(json_face.text(table_face.document(table))))


def test_a_release_that_samaops_made_is_its_change_and_no_release_of_others(site: Site) -> None:
    now = datetime.now(timezone.utc)
    keep(site, made(OLD, now - 9 * HOUR), revision="r1")
    journal = change.journal_of(site)
    journal.prepare()
    of = journal.begin(
        {"verb": "rollback app", "arguments": ["1.0"], "title": "Go back", "steps": [], "target": "1.0"}
    )
    keep(site, made(NEW, datetime.now(timezone.utc)), revision="r1")
    journal.write(of, "ended", None, {"status": "verified", "reason": ""})
    journal.close()
    table = hour(site)
    assert [row["text"] for row in table.rows if row["kind"] == "release"] == []
    assert "Go back: done and verified" in [row["text"] for row in table.rows]


def test_the_daily_run_keeps_what_runs_and_older_runs_kept_nothing_of_it(site: Site) -> None:
    container = Container(
        "api", "1" * 64, "api:production", "sha256:" + "a" * 64, "running", None, "", 0, "always", False, 0,
        "", 1, None, None, 0, "", None, None, None, None, created_at=5.0,
    )  # fmt: skip
    oneoff = replace(container, name="api_run_1", is_oneoff=True)
    kept_of_it = lasting((container, oneoff, replace(container, name="samaops.keep-1")))
    assert kept_of_it == (MadeContainer("api", "api:production", "sha256:" + "a" * 64, 5.0),)
    facts = DockerFacts(0.0, 0, (), (container,), None, None, running=kept_of_it)
    looked = Observation("docker", "docker/api", "api", DockerFacts.__name__, facts)
    report = Report("maintain daily", NOW)
    assert past.keep(site, DAILY, Snapshot(NOW, (looked,)), report, ()) == ""
    journal = change.journal_of(site)
    Records(journal, site.name, "maintain daily").add({"status": "ok"})
    journal.close()
    now = datetime.now(timezone.utc)
    kept, older = remembered.kept(site, now - HOUR, now)
    assert kept.containers == {"api": kept_of_it}
    assert (older.containers, older.revisions) == (None, None)
