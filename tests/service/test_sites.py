"""Several sites looked at side by side: a real samaops each, here and over a real sshd, and each way to lose one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import validated
from tests.service.ssh_server import SshServer, free_port, running_sshd

pytestmark = pytest.mark.service
ROOT = Path(__file__).parents[2]
# What is on this machine is looked at; how busy it is says nothing here.
LOCAL = """
site = "{name}"
[servers.{server}]
address = "127.0.0.1"
ssh = "local"
[proxy]
url = "http://{proxy}"
[thresholds."servers.load.high"]
warning = 1000000
critical = 1000000
"""
SATELLITE = """
site = "{name}"
[servers.control]
address = "127.0.0.1"
[servers.control.ssh]
user = "{user}"
port = {port}
key_file = "{directory}/client"
known_hosts = "{directory}/known_hosts"
timeout = 15
[satellite]
command = '''{command}'''
timeout = {timeout}
"""


class Sites:
    """A directory of sites, and a control machine that has them."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "sites"
        self.state = place / "state"
        self.directory.mkdir()
        self.far = place / "far"
        self.far.mkdir()

    def write(self, name: str, text: str, directory: Path | None = None) -> None:
        path = (directory or self.directory) / f"{name}.toml"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def local(self, name: str, proxy: str, directory: Path | None = None) -> None:
        self.write(name, LOCAL.format(name=name, server=f"{name}-1", proxy=proxy), directory)

    def satellite(self, name: str, sshd: SshServer, command: str, timeout: float = 60.0) -> None:
        words = {"user": sshd.settings().user, "port": sshd.port, "directory": sshd.directory}
        self.write(name, SATELLITE.format(name=name, command=command, timeout=timeout, **words))

    def command_there(self, words: str = "") -> str:
        """Return how samaops is called on the far control machine, which has sites of its own."""
        variables = f"PYTHONPATH={ROOT} SAMAOPS_SITES={self.far} XDG_STATE_HOME={self.state}-far"
        return f"env {variables} {sys.executable} -m samaops {words}".strip()

    def run(self, *words: str, config: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SAMAOPS_")},
            "SAMAOPS_SITES": str(self.directory),
            "SAMAOPS_CONFIG": config or str(self.directory.parent / "none.toml"),
            "XDG_STATE_HOME": str(self.state),
            "PYTHONPATH": str(ROOT),
        }
        if config is None:
            del environment["SAMAOPS_CONFIG"]
            environment |= {"XDG_CONFIG_HOME": str(self.directory.parent), "HOME": str(self.directory.parent)}
        return subprocess.run(
            [sys.executable, "-m", "samaops", "--lang", "en", *words],
            env=environment, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip

    def report(self, *words: str) -> tuple[dict[str, Any], int]:
        done = self.run("diagnose", "-o", "json", *words)
        assert done.stdout, done.stderr
        return validated(json.loads(done.stdout)), done.returncode


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


def lost(report: dict[str, Any]) -> dict[str, str]:
    """Return each site that could not be looked at, with the title that says why."""
    return {
        finding["site"]: finding["title"]
        for finding in report["findings"]
        if finding["code"] == "sites.site.lost" and finding["status"] == "unknown"
    }


def test_a_proxy_that_is_dead_for_three_sites_is_one_root_with_the_three(sites: Sites) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    for name in ("dakar", "thies", "ziguinchor"):
        sites.local(name, proxy)
    report, code = sites.report("--sites", "all")
    (root,) = report["causes"]
    assert (code, root["id"], root["subject"]) == (2, "proxy-down", f"proxy/{proxy}")
    assert root["sites"] == ["dakar", "thies", "ziguinchor"]
    assert root["verdict"] == "confirmed"
    assert root["address"] == proxy
    assert root["explains"][:3] == [
        f"proxy.service.unreachable@{name}/proxy/{proxy}" for name in ("dakar", "thies", "ziguinchor")
    ]
    assert root["fixes"][0]["commands"][0].startswith("samaops --site dakar ")
    subjects = {finding["subject"] for finding in report["findings"] if finding["site"] == "thies"}
    assert {f"thies/proxy/{proxy}", "thies/servers/thies-1", "sites/thies"} <= subjects
    again, _code = sites.report("--sites", "thies,dakar")
    assert root["since"] <= again["causes"][0]["since"] < again["started_at"], "as the first look saw it"
    assert again["causes"][0]["sites"] == ["thies", "dakar"]
    listed = json.loads(sites.run("sites", "-o", "json").stdout)
    assert [(row["site"], row["status"]) for row in listed["sites"]] == [
        ("dakar", "critical"), ("thies", "critical"), ("ziguinchor", "critical"),
    ]  # fmt: skip


def test_a_satellite_is_one_site_more_and_its_commands_go_to_its_control_machine(
    sites: Sites, sshd: SshServer
) -> None:
    sites.local("matam", f"127.0.0.1:{free_port()}", sites.far)
    sites.satellite("matam", sshd, sites.command_there("--site matam"))
    sites.local("dakar", f"127.0.0.1:{free_port()}")
    report, code = sites.report("--sites", "all")
    assert (code, lost(report)) == (2, {})
    roots = {root["sites"][0]: root for root in report["causes"]}
    assert set(roots) == {"dakar", "matam"}
    command = roots["matam"]["fixes"][0]["commands"][0]
    assert command.startswith("samaops --site matam --lang en ssh control -- ")
    (seen,) = [finding for finding in report["findings"] if finding["subject"] == "sites/matam"]
    assert (seen["status"], seen["evidence"]["by"]) == ("ok", "127.0.0.1")
    alone, code = sites.report("--site", "matam")
    assert (code, [root["sites"] for root in alone["causes"]]) == (2, [["matam"]])
    refused = sites.run("--site", "matam", "docker", "ps")
    assert refused.returncode == 78
    assert "samaops --site matam --lang en ssh control" in refused.stderr


def test_each_way_to_lose_a_site_is_unknown_with_its_reason_and_costs_no_other(
    sites: Sites, sshd: SshServer, tmp_path: Path
) -> None:
    sites.local("dakar", f"127.0.0.1:{free_port()}")
    healthy, _code = sites.report("--sites", "dakar")
    of_dakar = {(finding["code"], finding["subject"], finding["status"]) for finding in healthy["findings"]}
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**healthy, "started_at": "2020-01-01T00:00:00.000+00:00"}))
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**healthy, "schema": "samaops/report/9"}))
    torn = tmp_path / "torn.json"
    torn.write_text(json.dumps(healthy)[:-200])
    sites.write("broken", 'site = "broken"\n[proxy]\nurl = 7\n')
    sites.write("misnamed", 'site = "dakar"\n[proxy]\nurl = "http://127.0.0.1:1"\n')
    sites.satellite("old", sshd, f"cat {old} #")
    sites.satellite("other", sshd, f"cat {other} #")
    sites.satellite("torn", sshd, f"cat {torn} #")
    sites.satellite("gone", sshd, "/nowhere/samaops")
    sites.satellite("hung", sshd, "sleep 600 #", timeout=1)
    sites.satellite("endless", sshd, "yes #")
    sites.satellite("unconfigured", sshd, sites.command_there())
    report, code = sites.report("--sites", "all", "--deadline", "10")
    assert code == 2  # dakar's proxy; a site that is lost is no worse than unknown
    words = {
        "broken": "proxy.url", "misnamed": 'write site = "misnamed"', "old": "old answer",
        "other": "samaops/report/9", "torn": "not a report", "gone": "not found", "hung": "11.0 s",
        "endless": "bytes of output", "unconfigured": "There is no configuration",
    }  # fmt: skip
    reasons = lost(report)
    assert set(reasons) == set(words)
    for name, word in words.items():
        assert word in reasons[name], reasons[name]
    assert {
        (finding["code"], finding["subject"], finding["status"])
        for finding in report["findings"]
        if finding["site"] == "dakar"
    } == of_dakar
    hints = {finding["site"]: finding["hint"] for finding in report["findings"] if finding["site"] in words}
    assert hints["gone"] == "samaops --site gone --lang en ssh control"
    assert hints["broken"] == "samaops --site broken --lang en config check"


def test_who_names_no_site_where_there_are_several_changes_nothing(sites: Sites) -> None:
    sites.local("dakar", "127.0.0.1:9")
    sites.local("thies", "127.0.0.1:9")
    refused = sites.run("docker", "restart", "x", "--yes")
    assert refused.returncode == 78
    assert "dakar, thies" in refused.stderr
    one = sites.run("docker", "restart", "x", "--yes", "--site", "thies")
    assert one.returncode != 0
    assert "Which site" not in one.stderr
