"""The matrix tried in real networks, the printed rules loaded and applied in some, and the whole matrix of the lab."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from samaops.clients import connectivity as client
from samaops.clients.balancer_commands import ListedMember
from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.shell import Completed
from samaops.clients.shells import ShellPool
from samaops.collect import loadbalancer
from samaops.collect import network as collect
from samaops.collect.engine import Probe
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.facts.network import DROPPED, NAME, OPEN, OTHER, PROXY, REFUSED, ROUTE, UNTRIED, Line
from samaops.facts.selection import Selection
from samaops.model.status import Status
from samaops.site import connectivity, firewall_rules
from samaops.site.firewall_rules import IPTABLES, NFTABLES
from samaops.site.site import Site
from samaops.workflows import network as workflow
from tests.service.lab_fixture import RunningLab
from tests.service.own_network import own_network

PROGRAMS = ("nft", "iptables-restore", "nc", "ip", "nsenter", "bash")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(name) for name in PROGRAMS),
    reason=f"needs root and {', '.join(PROGRAMS)} (apt-get install nftables iptables netcat-openbsd)",
)
SECONDS = 2.0
# Port -> what who listens there says to a CONNECT; "" listens and says nothing.
LISTENERS = r"""
import socket, sys, threading
def serve(host, port, answer):
    listener = socket.create_server((host, port), backlog=64)
    while True:
        connection, _peer = listener.accept()
        asked = b""
        while answer and b"\r\n\r\n" not in asked:
            asked += connection.recv(500)
        if answer:
            connection.sendall(answer.encode() + b"\r\n\r\n")
        connection.close()
host, *words = sys.argv[1:]
for word in words:
    port, _colon, answer = word.partition(":")
    threading.Thread(target=serve, args=(host, int(port), answer), daemon=True).start()
print(flush=True)
sys.stdin.read()
"""


class InNetwork(LocalShell):
    """A shell in a network of its own, with all programs or only some."""

    def __init__(self, network: list[str], path: Path | None = None) -> None:
        self._words = [*network, *(["env", f"PATH={path}"] if path else [])]

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        return super().run(shlex.join([*self._words, "/bin/sh", "-c", command]), timeout, stdin)


@dataclass(frozen=True)
class Network:
    """One network of its own: the words before a command that run it there."""

    words: list[str]

    @property
    def pid(self) -> str:
        return self.words[2]

    def run(self, *commands: str, stdin: str | None = None) -> None:
        for command in commands:
            subprocess.run(
                [*self.words, *shlex.split(command)], check=True, timeout=20, input=stdin, text=True
            )

    def listen(self, stack: ExitStack, host: str, *ports: str) -> None:
        """Listen on ports until the stack is left."""
        command = [*self.words, sys.executable, "-c", LISTENERS, host, *ports]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        process.stdout.readline()


def network(stack: ExitStack) -> Network:
    words = stack.enter_context(own_network())
    if not words:
        pytest.skip("networks of one's own are not allowed here")
    return Network(words)


def line(port: int, host: str = "127.0.0.1", proxy: str = "") -> Line:
    return Line("here", f"port {port}", "x", host, port, must_be_open=True, proxy=proxy)


def answers(shell: LocalShell, *lines: Line) -> list[str]:
    _program, tried = client.attempt(shell, lines, SECONDS, 30.0)
    assert [each.line for each in tried] == list(lines)
    return [each.answer for each in tried]


@pytest.fixture(scope="module")
def faulty() -> Iterator[Network]:
    """Return a network in which 7001 is open, 7002 refused, 7003 dropped, 7004 rejected by a rule; and three proxies."""
    with ExitStack() as stack:
        own = network(stack)
        own.run("ip route add unreachable 10.8.0.0/16", "ip address add 10.9.9.1/24 dev lo")
        own.run("nft -f -", stdin=(
            "table inet t { chain input { type filter hook input priority 0; "
            "tcp dport 7003 drop; tcp dport 7004 reject with icmpx admin-prohibited; }; }"
        ))  # fmt: skip
        proxies = (
            "7081:HTTP/1.1 200 Connection established",
            "7082:HTTP/1.1 403 Filtered",
            "7083:HTTP/1.1 407 x",
        )
        own.listen(stack, "127.0.0.1", "7001", *proxies)
        yield own


ONLY = ("cut", "tr", "timeout", "getent", "cat", "sh")


def path_with(directory: Path, *programs: str) -> Path:
    """Return a directory that has these programs and the plainest ones."""
    for name in (*ONLY, *programs):
        source = sys.executable if name.startswith("python") else shutil.which(name)
        assert source, name
        (directory / name).symlink_to(source)
    return directory


@pytest.mark.parametrize("program", ["bash", "python3", "nc"])
def test_each_program_tells_what_stands_between(faulty: Network, program: str, tmp_path: Path) -> None:
    shell = InNetwork(faulty.words, path_with(tmp_path, program))
    used, tried = client.attempt(
        shell,
        (line(7001), line(7002), line(7003), line(22, "nobody.invalid"), line(80, "10.8.1.1")),
        SECONDS,
        30.0,
    )
    assert used == program
    assert [each.answer for each in tried] == [OPEN, REFUSED, DROPPED, NAME, ROUTE], tried


@pytest.mark.parametrize("program", ["bash", "python3"])
def test_a_proxy_s_own_answer_is_told_from_the_way_to_it(
    faulty: Network, program: str, tmp_path: Path
) -> None:
    shell = InNetwork(faulty.words, path_with(tmp_path, program))
    ways = [line(443, "fcm.googleapis.com", f"127.0.0.1:{port}") for port in (7081, 7082, 7083, 7002, 7003)]
    _program, tried = client.attempt(shell, ways, SECONDS, 30.0)
    assert [each.answer for each in tried] == [OPEN, PROXY, OTHER, PROXY, PROXY]
    assert [each.words for each in tried] == [
        "", "127.0.0.1:7082: 403 Filtered", "127.0.0.1:7083: 407 x", "127.0.0.1:7002: refused", "127.0.0.1:7003: dropped",
    ]  # fmt: skip


def test_nc_cannot_ask_a_proxy_and_a_place_without_any_program_cannot_look(
    faulty: Network, tmp_path: Path
) -> None:
    (tmp_path / "nc").mkdir()
    (tmp_path / "none").mkdir()
    with_nc = InNetwork(faulty.words, path_with(tmp_path / "nc", "nc"))
    assert answers(with_nc, line(443, "fcm.googleapis.com", "127.0.0.1:7081")) == [OTHER]
    with pytest.raises(ClientError, match="no bash"):
        answers(InNetwork(faulty.words, path_with(tmp_path / "none")), line(7001))


def test_more_lines_than_are_tried_are_said_to_be_untried(faulty: Network) -> None:
    many = [line(7001)] * (client.MOST_LINES + 2)
    assert answers(InNetwork(faulty.words), *many) == [OPEN] * client.MOST_LINES + [UNTRIED] * 2


def test_dropped_lines_are_tried_side_by_side(faulty: Network) -> None:
    started = time.monotonic()
    assert answers(InNetwork(faulty.words), *[line(7003)] * client.AT_ONCE) == [DROPPED] * client.AT_ONCE
    assert time.monotonic() - started < client.AT_ONCE / 3 * SECONDS


DB, API, WORKERS, BALANCER = "10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.9"


def site() -> Site:
    """Return three servers and what they serve, in the addresses of the test's networks."""
    members = [{"name": "api_1", "url": f"http://{API}:8001", "container": "samaconso_api_1"}]
    return Site(Settings.model_validate({
        "servers": {name: {"address": at} for name, at in (("db", DB), ("api", API), ("workers", WORKERS))},
        "postgresql": {}, "pgbouncer": {}, "redis": {}, "rabbitmq": {}, "flower": {}, "minio": {},
        "api": {"instances": members}, "celery": {"workers": {"worker1": {}}},
        "loadbalancer": {"url": f"http://{BALANCER}"}, "docker": {},
        "network": {"admin": ["10.77.0.200/29"], "balancer": [BALANCER]},
    }))  # fmt: skip


def joined(stack: ExitStack, server: Network, address: str) -> Network:
    """Return a network with one address, on the same wire as the server."""
    other = network(stack)
    name = f"w{address.rpartition('.')[2]}"
    server.run(
        f"ip link add {name} type veth peer name eth0 netns {other.pid}",
        f"ip link set {name} master lan0",
        f"ip link set {name} up",
    )
    other.run(f"ip address add {address}/24 dev eth0", "ip link set eth0 up")
    return other


def wired(stack: ExitStack, address: str) -> Network:
    """Return the network of a server, which has the wire."""
    server = network(stack)
    server.run("ip link add lan0 type bridge", f"ip address add {address}/24 dev lan0", "ip link set lan0 up")
    return server


def seen_from(client_network: Network, address: str, *ports: int) -> dict[int, str]:
    found = answers(InNetwork(client_network.words), *[line(port, address) for port in ports])
    return dict(zip(ports, found, strict=True))


def test_the_printed_rules_let_in_who_is_named_and_drop_others() -> None:
    rules = firewall_rules.text(site(), "db", NFTABLES)
    with ExitStack() as stack:
        server = wired(stack, DB)
        api, workers, stranger, admin = (
            joined(stack, server, at) for at in (API, WORKERS, "10.77.0.66", "10.77.0.201")
        )
        server.listen(stack, DB, "22", "5432", "6432", "9000", "9100")
        before = seen_from(stranger, DB, 22, 5432, 6432, 9000)
        assert set(before.values()) == {OPEN}, "nothing is filtered yet"
        server.run("nft -c -f -", stdin=rules)
        assert seen_from(stranger, DB, 5432) == {5432: OPEN}, "to try them applies nothing"
        for _twice in range(2):
            server.run("nft -f -", stdin=rules)
        assert seen_from(api, DB, 6432, 9000, 5432, 22, 9100) == {
            6432: OPEN, 9000: OPEN, 5432: DROPPED, 22: DROPPED, 9100: DROPPED
        }  # fmt: skip
        assert seen_from(workers, DB, 6432, 9000, 5432) == {6432: OPEN, 9000: DROPPED, 5432: DROPPED}
        assert set(seen_from(stranger, DB, 22, 5432, 6432, 9000).values()) == {DROPPED}
        assert seen_from(admin, DB, 22, 5432) == {22: OPEN, 5432: OPEN}
        assert seen_from(server, DB, 5432, 9100) == {5432: OPEN, 9100: OPEN}, "its own are kept"


@pytest.mark.parametrize("form", [NFTABLES, IPTABLES])
def test_a_port_that_docker_publishes_is_filtered_too(form: str) -> None:
    rules = firewall_rules.text(site(), "api", form)
    with ExitStack() as stack:
        server = wired(stack, API)
        workers, stranger = joined(stack, server, WORKERS), joined(stack, server, "10.77.0.66")
        container = network(stack)
        server.run(
            f"ip link add br-lab type veth peer name eth0 netns {container.pid}",
            "ip address add 172.30.0.1/24 dev br-lab",
            "ip link set br-lab up",
            "sysctl -qw net.ipv4.ip_forward=1",
            "iptables -t nat -A PREROUTING -p tcp --dport 5672 -j DNAT --to-destination 172.30.0.2:5672",
            "iptables -N DOCKER-USER",
            "iptables -A FORWARD -j DOCKER-USER",
        )
        container.run("ip address add 172.30.0.2/24 dev eth0", "ip link set eth0 up")
        container.run("ip route add default via 172.30.0.1")
        container.listen(stack, "172.30.0.2", "5672")
        assert seen_from(stranger, API, 5672) == {5672: OPEN}, "nothing is filtered yet"
        if form == NFTABLES:
            server.run("nft -f -", stdin=rules)
        else:
            server.run("iptables-restore --noflush --test", stdin=rules)
            server.run("iptables-restore --noflush", stdin=rules)
        assert seen_from(workers, API, 5672, 22) == {5672: OPEN, 22: DROPPED}
        assert seen_from(stranger, API, 5672, 22) == {5672: DROPPED, 22: DROPPED}
        server.listen(stack, API, "15000")
        assert seen_from(container, API, 15000) == {15000: OPEN}, "a container of the server is the server"


def cut_off_site(**more: object) -> Site:
    """Return two servers that nobody logs in to, and on which nothing listens."""
    servers = {name: {"address": f"127.77.0.{n}", "ssh": "none"} for n, name in ((1, "db"), (2, "api"))}
    members = [{"name": "api_1", "url": "http://127.77.0.2:8001"}]
    network = {"minio_console_port": 0, **more}
    return Site(Settings.model_validate({
        "servers": servers, "redis": {"server": "db"}, "api": {"instances": members},
        "loadbalancer": {"url": "http://127.77.0.9"}, "network": network,
    }))  # fmt: skip


def test_a_source_that_nobody_logs_in_to_is_unknown_with_the_reason() -> None:
    table = workflow.matrix(cut_off_site())
    found = {(row["from"], row["to"]): (row["status"], row["answer"]) for row in table.rows}
    assert found == {
        ("admin", "api_1"): ("critical", REFUSED),
        ("admin", "redis"): ("critical", REFUSED),
        ("api_1", "redis"): ("unknown", OTHER),
        ("balancer", "api_1"): ("unknown", OTHER),
        ("db", "api_1"): ("unknown", OTHER),
    }
    assert [row["status"] for row in table.rows][:2] == ["critical", "critical"], "the worst first"
    assert table.status is Status.CRITICAL
    assert not table.is_whole
    notes = " ".join(table.notes)
    assert 'api_1: could not look from there: [servers.api] ssh = "none"' in notes
    assert "balancer: could not look from there: nobody logs in to the balancer" in notes
    of_balancer = workflow.matrix(cut_off_site(), "balancer")
    assert of_balancer.status is Status.UNKNOWN


def test_what_the_site_says_about_such_a_source_stands_in_its_place() -> None:
    exceptions = [{"source": "balancer", "must": "open", "reason": "not ours"}]
    table = workflow.matrix(cut_off_site(exceptions=exceptions))
    assert "balancer" not in {row["from"] for row in table.rows}, "nobody can look, and nothing is judged"
    with pytest.raises(UsageError):
        workflow.matrix(cut_off_site(exceptions=exceptions), "balancer")


def test_the_balancer_s_own_monitor_speaks_for_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    site = cut_off_site()
    (place,) = (place for place in connectivity.places(site) if place.name == "balancer")
    for state, expected in (("up", OPEN), ("down", OTHER), ("unwatched", OTHER)):
        listed = [msgspec.convert({"name": "m", "state": state, "address": "127.77.0.2:8001"}, ListedMember)]
        members = loadbalancer.members_of_commands(listed)
        monkeypatch.setattr(collect, "_members", lambda *_of, seen=members: seen)
        probe = Probe(ShellPool(site.settings), Selection(), time.monotonic() + 5)
        facts = collect.look(place, site, probe)
        assert [each.answer for each in facts.lines] == [expected], state


def test_the_lab_s_matrix_is_tried_and_a_blocked_line_is_seen(whole_lab: RunningLab) -> None:
    well = json.loads(whole_lab.samaops("--lab", "network", "-o", "json", expected=0).stdout)
    found = {(row["from"], row["to"]): row for row in well["network"]}
    assert found["worker1", "firebase:fcm"]["answer"] == OPEN
    assert found["api_1", "pgbouncer"]["answer"] == OPEN
    assert found["db", "redis"]["status"] == "skipped"
    assert {row["status"] for row in well["network"]} == {"ok", "skipped"}
    drop = "table inet t { chain input { type filter hook input priority 0; tcp dport 6432 drop; }; }"
    of_lab = Network(whole_lab.network)
    of_lab.run("nft -f -", stdin=drop)
    try:
        cut = whole_lab.samaops("--lab", "network", "--from", "worker1", "-o", "json", expected=2)
        first = json.loads(cut.stdout)["network"][0]
        assert (first["to"], first["answer"], first["status"]) == ("pgbouncer", DROPPED, "critical")
    finally:
        of_lab.run("nft delete table inet t")
    rules = whole_lab.samaops("--lab", "network", "--rules", "db", expected=0).stdout
    of_lab.run("nft -c -f -", stdin=rules)
    document = json.loads(whole_lab.samaops("--lab", "network", "--rules", "db", "-o", "json").stdout)
    assert document["text"] == rules
    whole_lab.samaops("--lab", "network", "--from", "dbb", expected=64)


def test_a_deep_diagnosis_of_the_lab_has_the_lines_and_a_plain_one_has_none(whole_lab: RunningLab) -> None:
    deep = json.loads(
        whole_lab.samaops("--lab", "diagnose", "--deep", "--only", "proxy,network", "-o", "json").stdout
    )
    statuses = {one["status"] for one in deep["findings"] if one["code"].startswith("network.")}
    assert statuses == {"ok", "skipped"}
    plain = json.loads(whole_lab.samaops("--lab", "diagnose", "--skip", "maintenance", "-o", "json").stdout)
    assert not [one for one in plain["findings"] if one["code"].startswith("network.")]
