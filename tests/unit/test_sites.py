"""Several sites: where they are found, what they share, and what is made of their reports."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from samaops.causes.shared_address import address_of
from samaops.cli import completing
from samaops.cli.global_options import Globals
from samaops.cli.main import run
from samaops.config import sites as known_sites
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, UsageError
from samaops.journal import last_look
from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.encoding import MisfitError
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.received import decode
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import json as json_face
from samaops.site import chosen
from samaops.site.site import Site
from samaops.workflows.sites import together
from samaops.workflows.sites.listed import listed
from samaops.workflows.sites.merged import SiteReport, merged

NOW = datetime(2026, 1, 31, 3, 12, tzinfo=timezone.utc)
EARLIER = NOW - timedelta(hours=1)
PROXY = "10.101.201.204:8080"


def cause(cause_id: str, subject: str, address: str, code: str, **more: Any) -> Cause:
    fix = Fix("x.fix", Risk.SAFE, "Look", ("samaops docker ps", "curl -s http://x"))
    fields = {
        "title": f"{cause_id} it is",
        "speaks_for": ("connect: refused",),
        "explains": (f"{code}@{subject}",),
        "fixes": (fix,),
        "address": address,
    }
    return Cause(cause_id, None, Verdict.CONFIRMED, subject, **{**fields, **more})


def bad(code: str, subject: str, status: Status = Status.CRITICAL, **more: Any) -> Finding:
    return Finding(code, status, subject, f"{code} of {subject}", **more)


def site(
    name: str,
    *findings: Finding,
    causes: tuple[Cause, ...] = (),
    since: Mapping[str, datetime] | None = None,
) -> SiteReport:
    report = Report("diagnose", NOW, 700, findings=findings, causes=causes)
    return SiteReport(name, report, lambda command: chosen.of_site(command, name), since or {})


def seen(*sites: SiteReport) -> Report:
    findings = tuple(
        Finding("sites.site.lost", Status.OK, f"sites/{one.name}", "", site=one.name) for one in sites
    )
    return merged(sites, findings, Report("diagnose", NOW, 900))


def behind_dead_proxy(name: str, since: datetime | None = None) -> SiteReport:
    root = cause("proxy-down", f"proxy/{PROXY}", PROXY, "proxy.service.unreachable")
    known = {f"proxy-down@proxy/{PROXY}": since} if since else {}
    return site(name, bad("proxy.service.unreachable", f"proxy/{PROXY}"), causes=(root,), since=known)


class TestMerged:
    def test_one_root_for_all_that_share_it_since_the_first_saw_it(self) -> None:
        report = seen(behind_dead_proxy("dakar", NOW), behind_dead_proxy("thies", EARLIER), site("kaolack"))
        (root,) = report.causes
        assert (root.sites, root.since, root.subject) == (("dakar", "thies"), EARLIER, f"proxy/{PROXY}")
        assert root.title.startswith("proxy-down it is (on 2 of 3 sites: dakar, thies; seen since ")
        assert root.explains == (
            f"proxy.service.unreachable@dakar/proxy/{PROXY}",
            f"proxy.service.unreachable@thies/proxy/{PROXY}",
        )
        assert {finding.key for finding in report.findings} >= set(root.explains)
        assert root.speaks_for == ("connect: refused",)  # all say it: it is said once

    def test_another_site_that_passes_makes_it_probable(self) -> None:
        well = site("kaolack", bad("proxy.service.unreachable", f"proxy/{PROXY}", Status.OK))
        (root,) = seen(behind_dead_proxy("dakar"), behind_dead_proxy("thies"), well).causes
        assert root.verdict is Verdict.PROBABLE
        assert root.speaks_against == (f"kaolack: proxy.service.unreachable of proxy/{PROXY}",)

    def test_a_loopback_of_elsewhere_is_neither_shared_nor_a_witness(self) -> None:
        def of(name: str, status: Status, *, is_far: bool) -> SiteReport:
            root = cause("proxy-down", "proxy/127.0.0.1:8080", "127.0.0.1:8080", "proxy.service.unreachable")
            finding = bad("proxy.service.unreachable", "proxy/127.0.0.1:8080", status)
            made = site(name, finding, causes=(root,) if status is not Status.OK else ())
            return replace(made, is_far=is_far)

        here, there = of("a", Status.CRITICAL, is_far=False), of("b", Status.CRITICAL, is_far=True)
        assert [root.sites for root in seen(here, there).causes] == [("a",), ("b",)]
        both = (here, replace(here, name="c"), of("b", Status.OK, is_far=True))
        assert [root.verdict for root in seen(*both).causes] == [Verdict.CONFIRMED]

    def test_two_proxies_are_two_roots(self) -> None:
        other = cause("proxy-down", "proxy/10.9.9.9:8080", "10.9.9.9:8080", "proxy.service.unreachable")
        thies = site("thies", bad("proxy.service.unreachable", "proxy/10.9.9.9:8080"), causes=(other,))
        report = seen(behind_dead_proxy("dakar"), thies)
        assert [root.subject for root in report.causes] == [
            f"dakar/proxy/{PROXY}",
            "thies/proxy/10.9.9.9:8080",
        ]
        assert report.causes[1].title == "thies: proxy-down it is"

    def test_one_sql_server_under_two_names_is_one_root(self) -> None:
        roots = [
            cause(
                "sqlserver-unavailable", f"sqlserver/{name}", "10.1.1.1:1433", "sqlserver.server.unreachable"
            )
            for name in ("billing", "facturation")
        ]
        both = (
            site(name, bad("sqlserver.server.unreachable", root.subject), causes=(root,))
            for name, root in zip(("dakar", "thies"), roots, strict=True)
        )
        (root,) = seen(*both).causes
        assert (root.subject, root.sites) == ("sqlserver/10.1.1.1:1433", ("dakar", "thies"))

    def test_two_containers_of_one_server_are_two_roots(self) -> None:
        both = (
            site(
                name,
                bad("docker.container.stopped", f"docker/{name}-api"),
                causes=(
                    cause("container-stopped", f"docker/{name}-api", "10.1.0.5", "docker.container.stopped"),
                ),
            )
            for name in ("dakar", "thies")
        )
        assert len(seen(*both).causes) == 2

    def test_what_stands_nowhere_known_is_never_shared(self) -> None:
        both = (
            site(
                name,
                bad("celery.x.y", "celery/w"),
                causes=(cause("worker-down", "celery/w", "", "celery.x.y"),),
            )
            for name in ("dakar", "thies")
        )
        assert len(seen(*both).causes) == 2

    def test_a_command_names_its_site_and_a_site_its_findings(self) -> None:
        hinted = bad("redis.memory.high", "redis/workers", Status.WARNING, hint="samaops redis memory")
        blocked = bad(
            "redis.x.y",
            "redis/workers",
            Status.SKIPPED,
            detail="not looked at, see redis.memory.high@redis/workers",
        )
        report = seen(site("thies", hinted, blocked), behind_dead_proxy("dakar"))
        by_code = {finding.code: finding for finding in report.findings}
        assert by_code["redis.memory.high"].hint == "samaops --site thies redis memory"
        assert by_code["redis.memory.high"].site == "thies"
        assert by_code["redis.x.y"].detail.endswith("redis.memory.high@thies/redis/workers")
        (fix,) = report.causes[0].fixes
        assert fix.commands == ("samaops --site dakar docker ps", "curl -s http://x")

    def test_the_worst_comes_first_and_decides(self) -> None:
        root = cause("a", "redis/w", "", "redis.memory.high")
        warned = site("a", bad("redis.memory.high", "redis/w", Status.WARNING), causes=(root,))
        report = seen(warned, behind_dead_proxy("b"))
        assert [root.sites for root in report.causes] == [("b",), ("a",)]
        assert report.status is Status.CRITICAL

    def test_all_well_says_on_how_many_sites(self) -> None:
        fine = [site(name, bad("redis.x.y", "redis/w", Status.OK)) for name in ("a", "b")]
        assert seen(*fine).answer == "All is well on 2 sites: 4 checks"

    def test_keys_are_unique(self) -> None:
        keys = [finding.key for finding in seen(behind_dead_proxy("a"), behind_dead_proxy("b")).findings]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("subject", "code", "expected"),
    [
        (f"proxy/{PROXY}", "proxy.host.blocked", PROXY),
        ("firebase/fcm.googleapis.com", "firebase.host.unreachable", f"fcm.googleapis.com via {PROXY}"),
        ("sqlserver/billing", "sqlserver.server.unreachable", "10.1.1.1:1433"),
        ("sqlserver/gone", "sqlserver.server.unreachable", ""),
        ("loadbalancer/vip", "loadbalancer.vip.failing", "10.0.0.10:8080"),
        ("loadbalancer/bigip", "loadbalancer.management.unreachable", "10.0.0.20:443"),
        ("redis/workers", "redis.memory.high", "10.0.0.3"),
    ],
)
def test_what_is_broken_stands_somewhere(subject: str, code: str, expected: str) -> None:
    settings = Settings.model_validate(
        {
            "servers": {"workers": {"address": "10.0.0.3"}},
            "proxy": {"url": f"http://{PROXY}"},
            "sqlserver": [{"name": "billing", "host": "10.1.1.1"}],
            "loadbalancer": {"url": "http://10.0.0.10:8080", "bigip": {"url": "https://10.0.0.20"}},
        }
    )
    server = "workers" if subject.startswith("redis") else None
    assert address_of(bad(code, subject, server=server), Site(settings)) == expected


@pytest.mark.parametrize(
    ("address", "is_kept"),
    [("127.0.0.1:8080", False), ("localhost:8080", False), ("x.y via 127.9.0.1:80", False), ("127.1.1.1", False),
     ("10.0.0.1:8080", True), ("proxy.senelec.sn:8080", True), ("10.0.0.1", True)],
)  # fmt: skip
def test_a_loopback_of_elsewhere_is_not_ours(address: str, is_kept: bool) -> None:
    report = Report("diagnose", NOW)
    root = cause("a", "proxy/x", address, "proxy.x.y")
    assert SiteReport("here", report, str, {}).identity_of(root) is not None
    assert (SiteReport("far", report, str, {}, is_far=True).identity_of(root) is not None) is is_kept


class TestReceived:
    def test_what_is_written_comes_back(self) -> None:
        root = cause("proxy-down", f"proxy/{PROXY}", PROXY, "proxy.x.y")
        finding = bad("proxy.x.y", f"proxy/{PROXY}", value=3.5, evidence={"a": [1]}, hint="samaops ssh x")
        report = Report("diagnose", NOW, 12, findings=(finding,), causes=(root,), timings_ms={"proxy": 3})
        assert decode(json_face.render(report)) == report

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"schema": "samaops/report/2"}, "report/2"),
            ({"findings": [{"code": "x"}]}, "findings"),
            ({"findings": None}, "findings"),
            ({"started_at": "2026-01-31T03:12:00"}, "started_at"),
            ({"duration_ms": -1}, "duration_ms"),
            ({"findings": [{"code": "A B", "status": "ok", "subject": "x/y", "title": ""}]}, "code"),
            ({"findings": [{"code": "a.b", "status": "fine", "subject": "x/y", "title": ""}]}, "status"),
            ({"findings": [{"code": "a.b", "status": "ok", "subject": "../y", "title": ""}]}, "subject"),
        ],
    )
    def test_what_is_no_report_is_refused_with_its_place(self, change: dict[str, Any], word: str) -> None:
        document = json.loads(json_face.render(Report("diagnose", NOW)))
        with pytest.raises(MisfitError, match=word):
            decode(json.dumps({**document, **change}))

    @given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
    def test_anything_else_is_refused_too(self, text: str) -> None:
        with pytest.raises(MisfitError):
            decode(text)

    def test_a_newer_one_has_more_fields(self) -> None:
        document = json.loads(json_face.render(Report("diagnose", NOW)))
        assert decode(json.dumps({**document, "weather": "fine"})).started_at == NOW


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return one's own directory of sites, of a user who has no configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SAMAOPS_CONFIG", raising=False)
    monkeypatch.delenv(known_sites.VARIABLE, raising=False)
    monkeypatch.setattr(known_sites, "_SYSTEM_WIDE", tmp_path / "etc" / "sites")
    monkeypatch.setattr("samaops.config.load.search_path", lambda: [tmp_path / "config.toml"])
    place = tmp_path / "samaops" / "sites"
    place.mkdir(parents=True)
    return place


def write(directory: Path, name: str, more: str = "") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.toml"
    path.touch(mode=0o600)
    path.write_text(f'site = "{name}"\n[servers.one]\naddress = "127.0.0.1"\nssh = "local"\n{more}')


class TestKnownSites:
    def test_ones_own_stands_before_the_machines(self, directory: Path) -> None:
        write(directory, "thies")
        write(known_sites._SYSTEM_WIDE, "thies")
        write(known_sites._SYSTEM_WIDE, "dakar")
        (directory / ".hidden.toml").touch()
        (directory / "notes.txt").touch()
        assert known_sites.all_of() == {
            "dakar": known_sites._SYSTEM_WIDE / "dakar.toml",
            "thies": directory / "thies.toml",
        }

    def test_a_variable_names_the_only_directory(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write(directory, "thies")
        monkeypatch.setenv(known_sites.VARIABLE, str(tmp_path / "elsewhere"))
        with pytest.raises(ConfigurationError, match="elsewhere"):
            known_sites.all_of()
        write(tmp_path / "elsewhere", "dakar")
        assert list(known_sites.all_of()) == ["dakar"]

    @pytest.mark.parametrize("name", ["../thies", "/etc/passwd", "", "this", "all"])
    def test_what_is_no_site_is_refused_with_those_there_are(self, directory: Path, name: str) -> None:
        write(directory, "thies")
        with pytest.raises(ConfigurationError, match="thies"):
            known_sites.read(name)

    @pytest.mark.parametrize("name", ["all", "Thies", "a b", "é"])
    def test_a_file_that_cannot_name_a_site_says_so(self, directory: Path, name: str) -> None:
        write(directory, name)
        with pytest.raises(ConfigurationError, match="cannot name a site"):
            known_sites.read(name)

    def test_a_file_must_name_its_own_site(self, directory: Path) -> None:
        write(directory, "thies")
        (directory / "thies.toml").rename(directory / "dakar.toml")
        with pytest.raises(ConfigurationError, match='write site = "dakar"'):
            known_sites.read("dakar")

    def test_a_satellite_has_no_other_section(self, directory: Path) -> None:
        write(directory, "matam", '[satellite]\nserver = "one"\n[proxy]\n[history]\n')
        with pytest.raises(ConfigurationError, match=r"take these sections out: \[proxy\]$"):
            known_sites.read("matam")
        write(directory, "matam", '[satellite]\nserver = "two"\n')
        with pytest.raises(ConfigurationError, match="two"):
            known_sites.read("matam")

    @pytest.mark.parametrize(
        "words",
        [
            ("docker", "restart", "c1", "--yes"),
            ("queue", "purge", "normal", "--yes"),
            ("undo", "last", "--yes"),
            ("diagnose",),
            ("backup", "create", "--yes"),
            ("maintain", "daily"),
        ],
    )
    def test_nothing_is_done_at_a_site_that_nobody_named(
        self, directory: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(directory, "dakar")
        write(directory, "thies")
        assert run(["--lang", "en", *words]) == 78
        assert (
            "Which site? There is no configuration of one alone, and these sites: dakar, thies"
            in " ".join(capsys.readouterr().err.split())
        )

    def test_only_a_site_that_can_be_named_is_proposed(self, directory: Path) -> None:
        for name, proposed in (("Maj Espace", "samaops sites"), ("thies", "samaops --site thies diagnose")):
            write(directory, name)
            refusal = known_sites.which()
            assert refusal is not None
            assert refusal.hint == proposed

    def test_a_file_that_names_no_site_is_told_so(self, directory: Path) -> None:
        (directory / "thies.toml").write_text("")
        with pytest.raises(ConfigurationError, match=r'it names no site: write site = "thies"$'):
            known_sites.read("thies")

    @pytest.mark.parametrize("other", [("--config", "x.toml"), ("--lab",), ("--sites", "all")])
    def test_one_choice_alone(self, directory: Path, other: tuple[str, ...]) -> None:
        write(directory, "dakar")
        assert run(["--site", "dakar", "diagnose", *other]) == 64

    def test_a_proposed_command_chooses_the_same_site(self) -> None:
        chosen.remember(None, lab=False, site="thies")
        assert chosen.same("samaops docker ps") == "samaops --site thies docker ps"
        assert chosen.same("samaops sites") == "samaops sites"
        assert chosen.same("samaops diagnose --sites all") == "samaops diagnose --sites all"
        chosen.remember(None, lab=False, language="fr")
        assert chosen.of_site("samaops docker ps", "dakar") == "samaops --site dakar --lang fr docker ps"
        assert chosen.of_site("samaops --site thies docker ps", "dakar") == "samaops --site thies docker ps"
        assert chosen.of_site("docker ps", "dakar") == "docker ps"
        chosen.remember(None, lab=False)

    def test_a_new_one_is_written_where_it_is_found(self, directory: Path) -> None:
        assert run(["--lang", "en", "config", "init", "--site", "kolda"]) == 0
        assert 'site = "kolda"\n' in (directory / "kolda.toml").read_text(encoding="utf-8")
        assert list(known_sites.all_of()) == ["kolda"]
        assert run(["config", "init", "--site", "kolda"]) == 77
        assert run(["config", "init", "--site", "../kolda"]) == 78

    def test_the_usual_configuration_is_said_to_be_left_out(self, directory: Path, tmp_path: Path) -> None:
        write(directory, "thies")
        assert listed(str).notes == ()
        usual = tmp_path / "config.toml"
        write(tmp_path, "dakar")
        (tmp_path / "dakar.toml").rename(usual)
        (note,) = listed(str).notes
        assert note.startswith(f"{usual} (dakar) is none of them: --sites leaves it out")
        subprocess.run(["sh", "-c", note.rpartition(": ")[2]], check=True)
        (tmp_path / "sites" / "dakar.toml").rename(directory / "dakar.toml")
        assert not usual.exists()
        write(tmp_path, "dakar")
        (tmp_path / "dakar.toml").rename(usual)
        assert listed(str).notes == ()
        usual.write_text("no TOML")
        assert listed(str).notes == ()

    def test_a_shell_offers_them(self, directory: Path) -> None:
        write(directory, "dakar")
        write(directory, "thies")
        context: Any = type("Context", (), {"obj": Globals()})()
        assert [name for name, _file in completing.sites(context, "")] == ["dakar", "thies"]
        assert [name for name, _file in completing.sites(context, "dakar,")] == ["dakar,dakar", "dakar,thies"]

    def test_a_variable_that_would_make_all_sites_one_is_refused(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(directory, "dakar")
        monkeypatch.setenv("SAMAOPS_HISTORY__URL", "x")
        assert together.chosen_sites(["all"]) == ("dakar",)
        monkeypatch.setenv("SAMAOPS_REDIS__HOST", "10.0.0.1")
        with pytest.raises(UsageError, match="SAMAOPS_REDIS__HOST"):
            together.chosen_sites(["all"])


class TestLastLook:
    def test_since_is_kept_as_long_as_it_is_seen(self, directory: Path) -> None:
        assert last_look.load("dakar") is None
        last_look.keep("dakar", EARLIER, Status.CRITICAL, ["a@x/y", "b@x/y"])
        last_look.keep("dakar", NOW, Status.CRITICAL, ["a@x/y", "c@x/y"])
        look = last_look.load("dakar")
        assert look is not None
        assert look.since == {"a@x/y": EARLIER, "c@x/y": NOW}
        assert last_look.path_of("dakar").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"schema": "samaops/last-look/1", "site": "dakar"}', "\0"]
    )
    def test_what_is_no_look_is_none(self, directory: Path, content: str) -> None:
        path = last_look.path_of("dakar")
        path.parent.mkdir(parents=True)
        path.write_text(content)
        assert last_look.load("dakar") is None

    def test_where_it_cannot_be_written_nothing_fails(self, directory: Path) -> None:
        Path(os.environ["XDG_STATE_HOME"]).mkdir()
        (Path(os.environ["XDG_STATE_HOME"]) / "samaops").touch()
        assert last_look.keep("dakar", NOW, Status.OK, []).status is Status.OK
