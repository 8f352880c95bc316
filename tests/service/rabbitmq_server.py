"""A real RabbitMQ with its management plugin, on free ports of 127.0.0.1 and in a directory of its own.

Started once per test session by the fixture in ``conftest.py``; ready in about ten seconds.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import amqp
import requests

from samaops.config.secrets import Secret
from samaops.config.settings import RabbitMQ, Settings

BINARIES = Path("/usr/lib/rabbitmq/bin")
READY_WITHIN_SECONDS = 60.0
USER = "samaconso_admin"


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_installed() -> bool:
    """Return whether RabbitMQ can be started here."""
    return (BINARIES / "rabbitmq-server").exists()


@dataclass(frozen=True)
class Broker:
    """A running RabbitMQ; ``password`` belongs to the administrator ``samaconso_admin``."""

    directory: Path
    port: int
    management_port: int
    password: str
    environment: dict[str, str]

    @property
    def amqp_url(self) -> str:
        """The broker's address for Celery."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}//"

    def section(self, **changes: object) -> RabbitMQ:
        """Return the settings that lead to this broker."""
        fields: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "management_port": self.management_port,
            "username": USER,
            "password": Secret.model_validate(self.password),
        }
        return RabbitMQ.model_validate(fields | changes)

    def settings(self, **changes: object) -> Settings:
        """Return a whole configuration that holds this broker, and what is given."""
        return Settings.model_validate(
            {"rabbitmq": self.section().model_dump() | {"password": self.password}} | changes
        )

    def ctl(self, *words: str) -> str:
        """Run ``rabbitmqctl`` and return what it says."""
        done = subprocess.run(
            [str(BINARIES / "rabbitmqctl"), "-q", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        """Send one request to the management API, as the administrator."""
        url = f"http://127.0.0.1:{self.management_port}/api/{path}"
        answer = requests.request(method, url, json=body, auth=(USER, self.password), timeout=10)
        answer.raise_for_status()
        return answer

    def declare(self, queue: str, **arguments: object) -> None:
        """Declare a durable queue of the virtual host /, and wait until the management counts its messages."""
        path = f"queues/%2F/{quote(queue, safe='')}"
        self.request("PUT", path, {"durable": True, "arguments": arguments})
        ends_at = time.monotonic() + 20
        while not {"messages", "consumers"} <= self.request("GET", path).json().keys():
            assert time.monotonic() < ends_at, f"{queue} is not counted"
            time.sleep(0.1)

    def delete(self, queue: str) -> None:
        """Delete a queue."""
        self.request("DELETE", f"queues/%2F/{quote(queue, safe='')}")

    @contextlib.contextmanager
    def consuming(self, queue: str) -> Iterator[None]:
        """Let somebody consume a queue meanwhile, who acknowledges nothing."""
        with amqp.Connection(f"127.0.0.1:{self.port}", userid=USER, password=self.password) as connection:
            connection.channel().basic_consume(queue, callback=lambda _message: None)
            yield

    def publish(self, queue: str, count: int = 1, payload: str = "x") -> None:
        """Put messages on a queue through the default exchange."""
        body = {"properties": {}, "routing_key": queue, "payload": payload, "payload_encoding": "string"}
        for _number in range(count):
            self.request("POST", "exchanges/%2F/amq.default/publish", body)


@contextlib.contextmanager
def running() -> Iterator[Broker]:
    """Start a broker, yield it when it answers, and leave nothing behind."""
    directory = Path(tempfile.mkdtemp(prefix="samaops-rabbitmq-"))
    broker = _prepare(directory)
    log = (directory / "server.log").open("wb")
    server = subprocess.Popen(
        [str(BINARIES / "rabbitmq-server")],
        env=broker.environment,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(broker, server)
        yield broker
    finally:
        _stop(broker, server)
        log.close()
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(directory: Path) -> Broker:
    port, management_port, epmd, dist = free_port(), free_port(), free_port(), free_port()
    password = secrets.token_urlsafe(12)
    config = directory / "rabbitmq.conf"
    config.write_text(
        f"management.tcp.port = {management_port}\nmanagement.tcp.ip = 127.0.0.1\n"
        f"default_user = {USER}\ndefault_pass = {password}\ndisk_free_limit.absolute = 50MB\n"
        "collect_statistics_interval = 1000\nvm_memory_high_watermark.absolute = 1GB\n"
    )
    (directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        "RABBITMQ_HOME": str(directory),
        "RABBITMQ_NODENAME": f"samaops{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(dist),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 1:1",
    }
    return Broker(directory, port, management_port, password, environment)


def _wait_until_ready(broker: Broker, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(requests.RequestException):
            if broker.request("GET", "nodes?columns=mem_used").json() != [[]]:  # not counted yet
                return
        time.sleep(0.2)
    raise RuntimeError((broker.directory / "server.log").read_text(errors="replace")[-3000:])


def _stop(broker: Broker, server: subprocess.Popen[bytes]) -> None:
    # The epmd daemon leaves the process group: it is the only one on its own port, and is told to end.
    _end_group(server)
    epmd = shutil.which("epmd", path=broker.environment["PATH"])
    if epmd:
        subprocess.run([epmd, "-kill"], env=broker.environment, capture_output=True, timeout=10, check=False)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(15)
            return
