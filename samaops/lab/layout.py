"""Where everything of the lab lives: addresses, ports, directories, generated secrets.

Data only: this module starts nothing. Addresses and ports are those of the production guide, with
127.101.0.x in place of 10.101.X.X.
"""

from __future__ import annotations

import json
import os
import secrets as random_secrets
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict, fields

from samaops.config import places

DB_ADDRESS = "127.101.0.1"
API_ADDRESS = "127.101.0.2"
WORKERS_ADDRESS = "127.101.0.3"
OUTSIDE_ADDRESS = "127.101.0.10"

ADDRESSES = {
    "db": DB_ADDRESS,
    "api": API_ADDRESS,
    "workers": WORKERS_ADDRESS,
    "outside": OUTSIDE_ADDRESS,
}

SSH_PORT = 2222
POSTGRESQL_PORT = 5432
PGBOUNCER_PORT = 6432
S3_PORT = 9000
API_PORTS = {"api_1": 8001, "api_2": 8002}
AMQP_PORT = 5672
RABBITMQ_MANAGEMENT_PORT = 15672
BROKER_EPMD_PORT = 24369
BROKER_DIST_PORT = 25672
REDIS_PORT = 6379
FLOWER_PORT = 5555
VIP_PORT = 8080
BALANCER_CONTROL_PORT = 8090
PROXY_PORT = 3128
GOOGLE_PORT = 443
SQLSERVER_PORTS = {"sic": 1433, "postpaid": 1434}
SMTP_PORT = 2525

QUEUE_PRIORITIES = {"urgent": 9, "high_priority": 7, "normal": 5, "low_priority": 3}
# How the broker's definitions and the application must both declare the four durable queues.
QUEUE_ARGUMENTS: Mapping[str, int] = {"x-max-priority": 10}
WORKER_QUEUES = {"worker1": ("urgent", "high_priority"), "worker2": ("normal", "low_priority")}
BROKER_EXCHANGE = "samaconso"
BROKER_USER = "samaconso_admin"
FLOWER_USER = "admin"
MINIO_ACCESS_KEY = "samaconso_storage"
DATABASE = "samaconso"
DATABASE_USER = "samaconso_user"
MONITORING_USER = "samaops"
BUCKETS = ("avatars", "documents", "uploads")


def default_directory() -> Path:
    """Return the lab's directory under the XDG state directory. Raises ConfigurationError when there is no such place."""
    return places.state() / "lab"


class Secrets(Struct, frozen=True):
    """Passwords of the lab, generated once and kept in a file of mode 600."""

    postgres_password: str
    samaconso_password: str
    monitoring_password: str
    rabbitmq_password: str
    flower_password: str
    minio_secret_key: str
    sqlserver_password: str
    fcm_token_key: str

    @staticmethod
    def generate() -> Secrets:
        """Make new random secrets."""
        return Secrets(**{field.name: random_secrets.token_hex(16) for field in fields(Secrets)})


class Layout(Struct, frozen=True):
    """The directories of one lab."""

    directory: Path

    def of_server(self, server: str) -> Path:
        """Return the directory that holds what belongs to one server (or to "outside")."""
        return self.directory / server

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def config_file(self) -> Path:
        """The samaops configuration that `samaops --lab` uses."""
        return self.directory / "config.toml"

    @property
    def odbc(self) -> Path:
        """The directory for ODBCSYSINI: Debian's own has psqlODBC leave a log in /tmp for every connection."""
        return self.of_server("outside") / "odbc"

    @property
    def marker(self) -> Path:
        """The file that says this directory is a lab's, so that it may be removed."""
        return self.directory / ".samaops-lab"

    @property
    def state_file(self) -> Path:
        return self.directory / "state.json"

    @property
    def secrets_file(self) -> Path:
        return self.directory / "secrets.json"

    def secrets(self) -> Secrets:
        """Read the lab's secrets, generating them the first time."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.secrets_file.exists():
            descriptor = os.open(self.secrets_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(Secrets.generate()), file)
        return Secrets(**json.loads(self.secrets_file.read_text(encoding="utf-8")))
