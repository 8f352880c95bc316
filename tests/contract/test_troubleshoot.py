"""`samaops troubleshoot` as its users meet it: a real fault, a site's own fix, asked for, made, verified, taken back."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.contract.conftest import Done, Samaops, Terminal
from tests.service.rabbitmq_server import free_port
from tests.unit.render.test_machines import SCHEMA

# Anything that answers HTTP is alive to the check of the proxy.
START = "setsid {python} -m http.server {port} --bind 127.0.0.1 >/dev/null 2>&1 </dev/null & echo $! > {home}/pid; sleep 1"
STOP = "kill $(cat {home}/pid); rm -f {home}/pid"


FIX = "causes: {{proxy-down: {{fixes: [own.fix]}}}}\nfixes: {{own.fix: {{title: t, {}}}}}"


class Site:
    """A site whose proxy is down, with a playbook of its own that can start it."""

    def __init__(self, samaops: Samaops, **fix: str) -> None:
        self.samaops, self.port = samaops, free_port()
        self.pid = samaops.home / "pid"
        self.playbooks = samaops.home / "playbooks"
        self.playbooks.mkdir()
        self.offer(**fix)
        self.config = samaops.configure(
            'site = "test-site"\n[servers.here]\naddress = "127.0.0.1"\nssh = "local"\n'
            f'[proxy]\nurl = "http://127.0.0.1:{self.port}"\n[playbooks]\npath = "{self.playbooks}"\n'
            f'[safety]\nlock_directory = "{samaops.home}/locks"\n'
            # How busy this machine is says nothing about the site.
            '[thresholds."servers.load.high"]\nwarning = 1000000\ncritical = 1000000\n'
        )

    def offer(self, **changes: str) -> None:
        """Write the site's playbook."""
        words = {"python": sys.executable, "port": self.port, "home": self.samaops.home}
        fix = {
            "title": "Start our relay for {subject}", "risk": "safe", "server": "here",
            "command": START.format(**words), "undo": STOP.format(**words), **changes,
        }  # fmt: skip
        if "no_undo" in fix:
            del fix["undo"]
        document = {
            "id": "notifications",
            "fixes": {"site.relay": fix},
            "causes": {"proxy-down": {"fixes": ["site.relay"]}},
        }
        (self.playbooks / "own.yaml").write_text(json.dumps(document))  # JSON is YAML

    def __call__(self, *words: str) -> Done:
        return self.samaops("--config", self.config, "troubleshoot", *words)

    def runs(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.pid.exists():
            os.kill(int(self.pid.read_text()), signal.SIGTERM)


@pytest.fixture
def site(samaops: Samaops) -> Iterator[Site]:
    made = Site(samaops)
    yield made
    made.stop()


def report(done: Done) -> dict[str, Any]:
    document: dict[str, Any] = done.json()
    jsonschema.validate(document, SCHEMA)
    return document


APPLY = ("notifications", "--apply", "site.relay")


def test_the_run_names_the_cause_shows_each_hop_and_offers_the_fixes(site: Site) -> None:
    done = site("notifications")
    assert done.code == 2
    places = [done.stdout.index(word) for word in ("published", "ready in", "sent through", "CRITICAL")]
    assert places == sorted(places), "the hops in their order, then the cause"
    assert "Start our relay" in done.stdout
    document = report(site("notifications", "-o", "json"))
    (cause,) = document["causes"]
    assert (cause["id"], document["command"]) == ("proxy-down", "troubleshoot notifications")
    assert [one["id"] for one in cause["fixes"]] == ["network.proxy_down", "site.relay"]
    hops = {one["code"]: one for one in document["findings"] if one["code"].startswith("notifications.hop.")}
    assert hops["notifications.hop.sent"]["status"] == "critical"
    assert hops["notifications.hop.sent"]["cause"] == "proxy-down"
    assert hops["notifications.hop.ready"]["status"] == "skipped"
    assert "notifications.hop.sent@notifications/sent" in cause["explains"]


def test_a_dry_run_shows_the_plan_that_would_be_run_and_changes_nothing(site: Site) -> None:
    document = report(site(*APPLY, "--dry-run", "-o", "json"))
    (planned,) = document["actions"]
    assert (planned["status"], planned["journal"]) == ("planned", None)
    (asking,) = [one for one in document["findings"] if one["code"] == "proxy.service.unreachable"]
    assert (asking["status"], asking["cause"], document["command"]) == (
        "critical", "proxy-down", "troubleshoot notifications",
    )  # fmt: skip
    assert not site.runs()
    (made,) = report(site(*APPLY, "--yes", "-o", "json"))["actions"]
    assert [planned[key] for key in ("commands", "undo")] == [made[key] for key in ("commands", "undo")]


def test_without_a_terminal_and_without_yes_nothing_is_changed_77(site: Site) -> None:
    done = site(*APPLY)
    assert done.code == 77
    assert "--yes" in done.stderr
    refused = report(site(*APPLY, "-o", "json"))
    assert [one["status"] for one in refused["actions"]] == ["refused"]
    assert [one["id"] for one in refused["causes"]] == ["proxy-down"]
    assert not site.runs()


def test_a_fix_is_made_verified_by_its_finding_and_can_be_undone(site: Site) -> None:
    done = site(*APPLY, "--yes", "-o", "json")
    document = report(done)
    assert done.code == 0, document["errors"]
    assert [one["status"] for one in document["actions"]] == ["verified"]
    found = {one["code"]: one["status"] for one in document["findings"]}
    assert found["proxy.service.unreachable"] == "ok"
    assert found["notifications.hop.sent"] == "ok", "looked at once more"
    assert [(one["id"], one["fixes"][-1]["id"]) for one in document["causes"]] == [
        ("proxy-down", "site.relay")
    ]
    assert site.runs()
    again = site(*APPLY, "--yes")
    assert (again.code, "Nothing to do" in again.stderr) == (0, True)
    undone = site.samaops("--config", site.config, "undo", document["actions"][0]["journal"], "--yes")
    assert undone.code == 0, undone
    assert not site.runs()


def test_after_a_fix_people_are_told_how_to_look_at_all_that_it_does_not_verify(site: Site) -> None:
    done = site(*APPLY, "--yes")
    assert done.code == 0, done.stderr
    said = " ".join(done.stdout.replace(" \\\n", " ").split())
    assert said.endswith(f"look again: samaops --config {site.config} diagnose --wait 60")
    again = site(*APPLY, "--yes")
    assert "look again" not in again.stdout, "nothing was done"


def test_a_fix_that_does_not_help_is_failed_and_taken_back_2(site: Site) -> None:
    site.offer(command=f"touch {site.samaops.home}/done", undo=f"rm {site.samaops.home}/done")
    done = site(*APPLY, "--yes", "--wait", "1", "-o", "json")
    assert done.code == 2
    assert [one["status"] for one in report(done)["actions"]] == ["reverted"]
    assert "look again" not in site(*APPLY, "--yes", "--wait", "1").stdout
    assert not (site.samaops.home / "done").exists()


def test_what_did_not_help_and_has_no_undo_is_said_to_be_left(site: Site) -> None:
    site.offer(command="true", no_undo="it cannot be unsaid")
    done = site(*APPLY, "--yes", "--wait", "1", "-o", "json")
    assert done.code == 2
    document = report(done)
    assert [one["status"] for one in document["actions"]] == ["failed"]
    assert "it cannot be unsaid" in document["errors"][0]["message"]


def test_a_fix_that_cannot_be_planned_is_told_with_the_cause_that_wants_it_64(site: Site) -> None:
    site.offer(server="nowhere")
    done = site(*APPLY, "--yes", "-o", "json")
    document = report(done)
    assert done.code == 64
    assert [one["id"] for one in document["causes"]] == ["proxy-down"]
    assert (document["actions"], len(document["errors"])) == ([], 1)
    assert "nowhere" in document["errors"][0]["message"]
    assert "nowhere" in done.stderr


def test_a_site_s_destructive_command_needs_the_name(site: Site) -> None:
    site.offer(risk="destructive", no_undo="gone")
    done = site(*APPLY, "--yes")
    assert done.code == 77
    assert f"--confirm 127.0.0.1:{site.port}" in done.stderr
    assert not site.runs()
    assert site(*APPLY, "--confirm", f"127.0.0.1:{site.port}").code == 0
    assert site.runs()


def test_what_is_in_the_hands_of_others_is_a_text_with_the_evidence(site: Site) -> None:
    done = site("notifications", "--apply", "network.proxy_down")
    assert done.code == 2
    assert "To: network team" in done.stdout
    assert f"127.0.0.1:{site.port}" in done.stdout
    assert "looked at 20" in done.stdout
    assert "nothing listens on its port" in done.stdout
    (cause,) = report(site("notifications", "-o", "json"))["causes"]
    assert "To: network team" in cause["fixes"][0]["text"]
    assert not site.runs()


def test_at_a_terminal_a_fix_is_chosen_by_its_number_and_asked_for(site: Site) -> None:
    words = ("--config", site.config, "troubleshoot", "notifications")
    with Terminal(site.samaops, *words) as terminal:
        terminal.read_until("Which one? (1-2")
        terminal.type("2")
        terminal.read_until("[y/N]")
        terminal.type("y")
        rest = terminal.rest()
    assert terminal.process.returncode == 0, rest
    assert site.runs()


def test_a_single_fix_is_asked_for_with_yes_or_no_in_the_user_s_language(site: Site) -> None:
    site.offer(title="Start our relay again for {subject}, which the whole way to Google goes through")
    own = json.loads((site.playbooks / "own.yaml").read_text())
    own |= {"id": "relay", "title": "Relay", "meaning": "Relay", "looks": ["proxy"]}
    (site.playbooks / "own.yaml").write_text(json.dumps(own))
    words = ("--config", site.config, "--lang", "fr", "troubleshoot", "relay")
    with Terminal(site.samaops, *words) as terminal:
        shown = terminal.read_until("Afficher le plan de cette réparation ? [o/N]")
        terminal.type("oui")
        terminal.read_until("Le faire ? [o/N]")
        terminal.type("peut-être")
        terminal.read_until("Répondez o ou n")
        terminal.read_until("Le faire ? [o/N]")
        terminal.type("o")
        rest = terminal.rest()
    assert terminal.process.returncode == 0, rest
    menu = shown.replace("\r", "").rpartition("\n\n")[2].splitlines()
    assert len(menu) == 3, "the title on two lines, and the question"
    assert all(len(one) <= 80 for one in menu)
    assert site.runs()


def test_nothing_chosen_changes_nothing(site: Site) -> None:
    words = ("--config", site.config, "troubleshoot", "notifications")
    with Terminal(site.samaops, *words) as terminal:
        terminal.read_until("Which one?")
        terminal.type("")
        terminal.rest()
    assert terminal.process.returncode == 2
    assert not site.runs()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("notification",), "did you mean notifications?"),
        (("notifications", "--apply", "site.rely"), "has no fix 'site.rely'"),
        (("show",), "show needs the playbook"),
        (("show", "nothing"), "There is no playbook 'nothing'"),
        (("show", "notifications", "-o", "png"), "must be one of"),
    ],
)
def test_a_wrong_command_line_is_64(site: Site, words: tuple[str, ...], said: str) -> None:
    done = site(*words)
    assert (done.code, done.stdout) == (64, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not YAML"),
        ("id: x\ncolour: red", "colour"),
        ("id: x\ncauses: {y: {fixes: [a.b]}}", "names the fix a.b"),
        ("id: x\nfixes: {a.b: {title: t, command: c, server: here}}", "undo"),
        ("id: x\nfixes: {a.b: {title: '{colour}', text: t}}", "{colour} is not one of"),
        ("id: notifications\nfixes: {workers.restart: {title: t, text: t}}", "has a fix of this name"),
    ],
)
def test_a_playbook_that_is_wrong_costs_itself_only_and_is_named(site: Site, text: str, said: str) -> None:
    (site.playbooks / "wrong.yaml").write_text(text)
    listed, shown = site("list"), site("show", "notifications")
    assert (listed.code, shown.code) == (0, 0)
    assert "site.relay" in shown.stdout  # what stands in another file
    checked = site.samaops("--config", site.config, "config", "check")
    asked = site("x") if text.startswith("id: x") else checked
    assert (checked.code, asked.code) == (78, 78)
    for done in (listed, shown, checked, asked):
        assert "wrong.yaml" in done.stderr
        assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: notifications\nlooks: [redisss]", "redisss"),
        ("id: notifications\nlooks: ['docker@nowhere']", "nowhere"),
        ("id: notifications\nlooks: [rabbitmq.publish.probe]", "--probe"),
        (f"id: notifications\n{FIX.format('verb: queue burn, arguments: [a]')}", "queue burn"),
        (
            f"id: notifications\n{FIX.format('verb: docker restart, arguments: [a, b, c, d]')}",
            "docker restart",
        ),
        (f"id: notifications\n{FIX.format('command: c, undo: u, server: there')}", "'there' is not in"),
    ],
)
def test_what_a_playbook_names_and_is_not_there_costs_that_only(site: Site, text: str, said: str) -> None:
    (site.playbooks / "wrong.yaml").write_text(text)
    done = site("notifications")
    assert (done.code, "proxy" in done.stdout) == (2, True)
    checked = site.samaops("--config", site.config, "config", "check")
    assert checked.code == 78
    for words in (done.stderr, checked.stderr):
        assert "playbook notifications: " in words
        assert said in words


def test_list_and_show_look_at_nothing_and_speak_json(site: Site) -> None:
    assert "notifications" in site("list").stdout
    listed = [row["playbook"] for row in site("list", "-o", "json").json()["playbooks"]]
    assert {"notifications", "db-slow"} <= set(listed)
    shown = site("show", "notifications")
    assert shown.code == 0
    assert "curl -sv -o /dev/null -x http://127.0.0.1" in " ".join(shown.stdout.split())
    document = site("show", "notifications", "-o", "json").json()
    assert document["schema"] == "samaops/playbook/1"
    (own,) = [one for one in document["fixes"] if one["id"] == "site.relay"]
    assert own["by_hand"][0].startswith("setsid ")


def test_it_speaks_french(site: Site) -> None:
    done = site.samaops("--config", site.config, "--lang", "fr", "troubleshoot", "show", "notifications")
    assert "Les notifications n'arrivent pas" in done.stdout
