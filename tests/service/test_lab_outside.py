"""The world outside the lab's servers, really started on free ports: each stand-in behaves as the real one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests
from cryptography import x509

from samaops.lab.app import canary
from samaops.lab.app.push import PushError, Sender
from samaops.lab.layout import Layout
from samaops.lab.outside import balancer, google_control, parts, proxy, sqlserver
from samaops.lab.outside.places import FCM_HOST, OAUTH_HOST, Places, Ports, python_environment
from samaops.lab.processes import ProcessSpec

pytestmark = pytest.mark.service

ADDRESS = "127.0.0.1"
PROGRAMS = {"nginx": "nginx-light", "tinyproxy": "tinyproxy"}


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((ADDRESS, 0)) for _number in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(slots=True)
class World:
    """What runs outside, and how to change it."""

    places: Places
    logs: Path
    running: dict[str, subprocess.Popen[bytes]]

    def start(self, spec: ProcessSpec) -> None:
        with (self.logs / f"{spec.name}.log").open("ab") as log:
            self.running[spec.name] = subprocess.Popen(
                spec.argv, env={**os.environ, **spec.environment}, cwd=spec.directory, stdout=log, stderr=log
            )
        until(spec.ready)

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGINT if name.startswith("sqlserver") else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def control(self, **switches: object) -> None:
        google_control.write(
            self.places.google / "control.json",
            google_control.Control(**switches),  # type: ignore[arg-type]
        )

    def rules(self, rules: proxy.Rules) -> None:
        proxy.write_rules(self.places, rules)
        log = self.logs / "proxy.log"
        before = log.read_text().count("Reloading config file finished")
        self.running["proxy"].send_signal(signal.SIGUSR1)
        until(lambda: log.read_text().count("Re-reading filter file") > 0)
        until(lambda: log.read_text().count("Reloading config file finished") > before)

    def accepted(self) -> list[dict[str, object]]:
        path = self.places.accepted_messages
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def sender(self) -> Sender:
        return Sender(self.places.service_account)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    absent = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    root = tmp_path_factory.mktemp("outside")
    numbers = free_ports(10)
    balancer_port, proxy_port, names, google, smtp = numbers[:5]
    sqlservers = {"sic": numbers[5], "postpaid": numbers[6]}
    ports = Ports(balancer_port, numbers[9], proxy_port, names, google, smtp, sqlservers)
    members = {"api_1": f"{ADDRESS}:{numbers[7]}", "api_2": f"{ADDRESS}:{numbers[8]}"}
    places = Places(root / "outside", Layout(root).secrets(), ADDRESS, ports, members)
    prepared = parts.prepare(places)
    assert prepared.missing == []
    started = World(places, root, {})
    try:
        for spec in prepared.specs:
            started.start(spec)
        yield started
    finally:
        for name in list(started.running):
            started.stop(name)


@pytest.fixture(autouse=True)
def application_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "http_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{ADDRESS}:{world.places.ports.proxy}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(world.places.ca_bundle))
    yield
    world.control()


def issuer_through_the_proxy(world: World, host: str) -> str:
    """Return the issuer's common name of the certificate that is shown for ``host``, trusted or not."""
    with socket.create_connection((ADDRESS, world.places.ports.proxy), timeout=5) as connection:
        connection.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):  # tinyproxy sends its head in several pieces
            answer += connection.recv(1)
        assert b" 200 " in answer
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(connection, server_hostname=host) as wrapped:
            der = wrapped.getpeercert(binary_form=True)
    assert der is not None
    issuer = x509.load_der_x509_certificate(der).issuer
    return str(issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


class TestGoogleThroughTheProxy:
    @pytest.mark.parametrize("host", [OAUTH_HOST, FCM_HOST])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_an_unauthenticated_look_at_either_host_is_answered_404(self, host: str, method: str) -> None:
        response = requests.request(method, f"https://{host}/", timeout=5)
        assert response.status_code == 404

    def test_each_host_shows_its_own_certificate_of_the_lab_authority(self, world: World) -> None:
        assert issuer_through_the_proxy(world, FCM_HOST) == "Lab Google Trust Services CA"

    def test_a_message_is_accepted_and_kept(self, world: World) -> None:
        before = len(world.accepted())
        name = world.sender().send("lab-token-1", "Bonjour")
        assert name.startswith("projects/samaconso-lab/messages/0:")
        assert [line["body"] for line in world.accepted()[before:]] == ["Bonjour"]

    def test_a_validated_message_is_marked_as_such(self, world: World) -> None:
        name = world.sender().send("lab-token-1", "canary", validate_only=True)
        assert name.endswith("/fake_message_id")
        assert world.accepted()[-1]["validate_only"] is True

    def test_a_sender_that_was_refused_works_again_afterwards(self, world: World) -> None:
        sender = world.sender()
        world.control(mode="unavailable")
        with pytest.raises(PushError, match=r"^UNAVAILABLE: .*HTTP 503"):
            sender.send("lab-token-1", "x")
        world.control()
        assert sender.send("lab-token-1", "x")

    @pytest.mark.parametrize(
        ("mode", "code"),
        [
            ("quota", "QUOTA_EXCEEDED"),
            ("unavailable", "UNAVAILABLE"),
            ("internal", "INTERNAL"),
            ("invalid_argument", "INVALID_ARGUMENT"),
            ("sender_id_mismatch", "SENDER_ID_MISMATCH"),
            ("third_party_auth", "THIRD_PARTY_AUTH_ERROR"),
        ],
    )
    def test_each_fault_has_its_documented_code(self, world: World, mode: str, code: str) -> None:
        world.control(mode=mode)
        with pytest.raises(PushError) as refused:
            world.sender().send("lab-token-1", "x")
        assert refused.value.code == code

    def test_dead_tokens_are_unregistered_and_the_others_are_not(self, world: World) -> None:
        with pytest.raises(PushError, match=r"^UNREGISTERED: .*HTTP 404"):
            world.sender().send("lab-dead-token-1", "x")
        assert world.sender().send("lab-token-1", "x")

    def test_a_revoked_key_is_an_invalid_signature(self, world: World) -> None:
        with pytest.raises(PushError, match=r"^invalid_grant: Invalid JWT Signature\."):
            Sender(world.places.revoked_service_account).send("lab-token-1", "x")

    @pytest.mark.parametrize("offset_seconds", [-600, 7200])
    def test_a_clock_that_is_off_is_named_by_oauth(self, world: World, offset_seconds: int) -> None:
        world.control(clock_offset_seconds=offset_seconds)
        with pytest.raises(PushError, match=r"short-lived token .60 minutes. and in a reasonable timeframe"):
            world.sender().send("lab-token-1", "x")

    def test_a_token_of_nobody_is_refused(self) -> None:
        url = f"https://{FCM_HOST}/v1/projects/samaconso-lab/messages:send"
        response = requests.post(url, json={}, headers={"Authorization": "Bearer ya29.lab-0-0"}, timeout=5)
        assert response.status_code == 401
        assert response.json()["error"]["status"] == "UNAUTHENTICATED"


class TestCanary:
    STEPS = ("key", "oauth.proxy", "oauth.tls", "oauth.token", "fcm.proxy", "fcm.tls", "fcm.send")

    def refused(self, key: Path) -> dict[str, object]:
        with pytest.raises(canary.CanaryError) as error:
            canary.send("mark", key)
        report: dict[str, object] = error.value.args[2]
        assert (report["marker"], report["validate_only"]) == ("mark", True)
        return report

    def test_it_is_validated_and_addressed_to_a_topic_and_tells_of_every_step(self, world: World) -> None:
        before = len(world.accepted())
        report = canary.send("mark", world.places.service_account)
        assert str(report["name"]).endswith("/fake_message_id")
        assert [one["step"] for one in report["steps"]] == list(self.STEPS)
        (line,) = world.accepted()[before:]
        assert (line["token"], line["topic"], line["validate_only"]) == (None, canary.TOPIC, True)

    def test_it_asks_for_a_token_of_its_own_so_that_a_revoked_key_shows_at_once(self, world: World) -> None:
        assert canary.send("mark", world.places.service_account)
        report = self.refused(world.places.revoked_service_account)
        assert report["failed"] == "oauth.token"

    @pytest.mark.parametrize("mode", ["quota", "unavailable", "internal"])
    def test_what_fcm_refuses_to_everybody_it_meets(self, world: World, mode: str) -> None:
        world.control(mode=mode)
        assert self.refused(world.places.service_account)["failed"] == "fcm.send"

    def test_what_fcm_refuses_to_one_device_it_does_not_meet(self, world: World) -> None:
        world.control(mode="sender_id_mismatch")
        assert canary.send("mark", world.places.service_account)

    def test_a_key_that_is_none_is_its_first_step(self, world: World, tmp_path: Path) -> None:
        key = tmp_path / "key.json"
        key.write_text("{}")
        assert self.refused(key)["failed"] == "key"

    def test_it_goes_the_way_of_the_application_and_says_where_it_ends(self, world: World) -> None:
        proxy.write_names(world.places, missing=(FCM_HOST,))
        try:
            report = self.refused(world.places.service_account)
        finally:
            proxy.write_names(world.places)
        assert report["failed"] == "fcm.proxy"

    def test_it_gives_the_proxy_the_password_of_the_environment(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.rules(proxy.Rules(user="senelec", password="secret"))
        try:
            assert self.refused(world.places.service_account)["failed"] == "oauth.proxy"
            way = f"http://senelec:s%65cret@{ADDRESS}:{world.places.ports.proxy}"
            monkeypatch.setenv("HTTPS_PROXY", way)
            assert canary.send("mark", world.places.service_account)
        finally:
            world.rules(proxy.Rules())


class TestProxy:
    def test_only_port_443_may_be_reached(self) -> None:
        with pytest.raises(requests.exceptions.ProxyError, match="403"):
            requests.get(f"https://{FCM_HOST}:8443/", timeout=5)

    def test_it_can_want_a_password(self, world: World) -> None:
        world.rules(proxy.Rules(user="senelec", password="secret"))
        try:
            with pytest.raises(PushError, match=r"UNREACHABLE.*407"):
                world.sender().send("lab-token-1", "x")
        finally:
            world.rules(proxy.Rules())
        assert world.sender().send("lab-token-1", "x")

    def test_it_can_refuse_one_host(self, world: World) -> None:
        world.rules(proxy.Rules(refused_hosts=(FCM_HOST,)))
        try:
            with pytest.raises(PushError, match=f"UNREACHABLE.*{FCM_HOST}.*403"):
                world.sender().send("lab-token-1", "x")
        finally:
            world.rules(proxy.Rules())

    def test_one_of_the_two_hosts_can_be_unknown(self, world: World) -> None:
        proxy.write_names(world.places, missing=(OAUTH_HOST,))
        try:
            with pytest.raises(PushError, match=f"UNREACHABLE.*{OAUTH_HOST}.*502"):
                world.sender().send("lab-token-1", "x")
        finally:
            proxy.write_names(world.places)

    def test_when_it_is_down_the_application_cannot_connect(self, world: World) -> None:
        world.stop("proxy")
        try:
            with pytest.raises(PushError, match=r"UNREACHABLE.*Connection refused"):
                world.sender().send("lab-token-1", "x")
        finally:
            world.start(parts.proxy_spec(world.places))

    def test_one_that_intercepts_tls_is_found_by_its_issuer(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.stop("proxy")
        world.start(parts.intercepting_spec(world.places))
        try:
            with pytest.raises(PushError, match=r"UNREACHABLE.*CERTIFICATE_VERIFY_FAILED"):
                world.sender().send("lab-token-1", "x")
            assert issuer_through_the_proxy(world, FCM_HOST) == "Senelec Proxy CA"
            bundle = tmp_path / "bundle.pem"
            bundle.write_bytes(world.places.ca_bundle.read_bytes() + world.places.proxy_ca.read_bytes())
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
            assert world.sender().send("lab-token-1", "through both")
        finally:
            world.stop("intercepting_proxy")
            world.start(parts.proxy_spec(world.places))


class TestSqlServer:
    @pytest.mark.parametrize(("database", "table"), [("sic", "clients"), ("postpaid", "factures")])
    def test_a_query_over_odbc_is_answered(self, world: World, database: str, table: str) -> None:
        connection = (
            f"DRIVER={{{sqlserver.ODBC_DRIVER}}};SERVER={ADDRESS};PORT={world.places.ports.sqlserver[database]};"
            f"DATABASE={database};UID={sqlserver.READER};PWD={world.places.secrets.sqlserver_password}"
        )
        code = (
            "import pyodbc, sys; print(pyodbc.connect(sys.stdin.read()).execute(sys.argv[1]).fetchone()[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, f"SELECT count(*) FROM {table}"],
            input=connection,
            env={**os.environ, "ODBCSYSINI": str(sqlserver.odbc_directory(world.places))},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stdout.strip() == "500", done.stderr

    def test_preparing_again_keeps_the_data_and_the_keys(self, world: World) -> None:
        data = sqlserver.data_directory(world.places, "sic") / "PG_VERSION"
        before = (data.stat().st_ino, world.places.service_account.read_bytes())
        assert parts.prepare(world.places).missing == []
        assert (data.stat().st_ino, world.places.service_account.read_bytes()) == before


class TestMail:
    def test_what_is_sent_is_kept_as_a_file(self, world: World) -> None:
        message = EmailMessage()
        message["From"], message["To"] = "samaops@senelec.sn", "astreinte@senelec.sn"
        message["Subject"] = "Disque plein"
        message.set_content("serveur api")
        with smtplib.SMTP(ADDRESS, world.places.ports.smtp, timeout=5) as client:
            client.send_message(message)
        until(lambda: any((world.places.mail / "new").iterdir()))
        kept = next((world.places.mail / "new").iterdir()).read_text()
        assert "Subject: Disque plein" in kept
        assert "serveur api" in kept


@pytest.fixture
def members(world: World, tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run both members of the API, with nothing behind them."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, address in world.places.members.items():
            port = address.rpartition(":")[2]
            environment = {
                **os.environ,
                **python_environment(),
                "INSTANCE_ID": name,
                "SAMACONSO_LAB": "1",
                "SAMACONSO_LAB_DIRECTORY": str(tmp_path),
                "DATABASE_URL": f"postgresql://nobody@{ADDRESS}:1/samaconso",
                "REDIS_URL": f"redis://{ADDRESS}:1/0",
                "CELERY_BROKER_URL": f"amqp://{ADDRESS}:1//",
            }
            argv = [sys.executable, "-m", "uvicorn", "samaops.lab.app.api:app", "--host", ADDRESS]
            started[name] = subprocess.Popen([*argv, "--port", port], env=environment)
        for address in world.places.members.values():
            until(lambda address=address: answers(f"http://{address}/health"), 30)  # type: ignore[misc]
        until(lambda: vip(world, "/health").status_code == 200)
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait(5)


def answers(url: str, seconds: float = 2) -> bool:
    try:
        return requests.get(url, timeout=seconds).status_code == 200
    except requests.RequestException:
        return False


def vip(world: World, path: str, **arguments: object) -> requests.Response:
    url = f"http://{ADDRESS}:{world.places.ports.balancer}{path}"
    return requests.get(url, timeout=12, **arguments)  # type: ignore[arg-type]


@pytest.mark.usefixtures("members")
class TestBalancer:
    def test_the_answer_is_the_application_s_own(self, world: World) -> None:
        response = vip(world, "/health")
        assert response.json() == {"message": "SAMA CONSO", "version": "2.0.0", "status": "running"}
        assert response.headers["server"] == "uvicorn"

    def test_a_client_comes_back_to_its_member(self, world: World) -> None:
        for member in world.places.members:
            cookies = {balancer.COOKIE: member}
            served = {vip(world, "/version", cookies=cookies).json()["instance"] for _number in range(6)}
            assert served == {member}

    def test_without_a_cookie_both_members_serve(self, world: World) -> None:
        served = {vip(world, "/version").json()["instance"] for _number in range(8)}
        assert served == set(world.places.members)

    def test_a_member_that_is_down_is_not_noticed(
        self, world: World, members: dict[str, subprocess.Popen[bytes]]
    ) -> None:
        members["api_1"].kill()
        members["api_1"].wait(5)
        cookies = {balancer.COOKIE: "api_1"}
        assert [vip(world, "/health", cookies=cookies).status_code for _number in range(4)] == [200] * 4

    def test_with_no_member_left_the_error_is_the_balancer_s(
        self, world: World, members: dict[str, subprocess.Popen[bytes]]
    ) -> None:
        for process in members.values():
            process.kill()
            process.wait(5)
        response = vip(world, "/health")
        assert response.status_code == 502
        assert response.headers["server"] != "uvicorn"

    def test_a_member_asked_to_hang_accepts_and_never_answers(self, world: World, tmp_path: Path) -> None:
        url = f"http://{world.places.members['api_1']}/health"
        (tmp_path / "hang-api_1").touch()
        with pytest.raises(requests.ReadTimeout):
            requests.get(url, timeout=1)
        assert answers(f"http://{world.places.members['api_2']}/health")
        (tmp_path / "hang-api_1").unlink()
        until(lambda: answers(url))

    def test_each_answer_names_the_dependency_that_is_down(self, world: World) -> None:
        response = vip(world, "/api/consumption/1")
        assert (response.status_code, response.json()["dependency"]) == (503, "postgresql")
        body = {"user_id": 1, "priority": "urgent", "message": "x"}
        url = f"http://{ADDRESS}:{world.places.ports.balancer}/notifications"
        response = requests.post(url, json=body, timeout=12)
        assert (response.status_code, response.json()["dependency"]) == (503, "rabbitmq")
