"""Where each stand-in listens and keeps its files. Nothing is started here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

import samaops
from samaops.lab import layout as production
from samaops.lab.layout import Layout, Secrets

NAMES_PORT = 3129
UNPRIVILEGED_GOOGLE_PORT = 8443
INTERCEPTED = "intercepted"
OAUTH_HOST = "oauth2.googleapis.com"
FCM_HOST = "fcm.googleapis.com"
GOOGLE_HOSTS = (OAUTH_HOST, FCM_HOST)


def google_port() -> int:
    """Return the port of the stand-in for Google: the real one when this user may listen on it."""
    first_free = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    lowest = int(first_free.read_text(encoding="ascii")) if first_free.exists() else 1024
    may_listen = os.geteuid() == 0 or lowest <= production.GOOGLE_PORT
    return production.GOOGLE_PORT if may_listen else UNPRIVILEGED_GOOGLE_PORT


def _sqlserver_ports() -> Mapping[str, int]:
    return production.SQLSERVER_PORTS


def _members() -> Mapping[str, str]:
    return {name: f"{production.API_ADDRESS}:{port}" for name, port in production.API_PORTS.items()}


class Ports(Struct, frozen=True):
    """One port each."""

    balancer: int = production.VIP_PORT
    balancer_control: int = production.BALANCER_CONTROL_PORT
    proxy: int = production.PROXY_PORT
    names: int = NAMES_PORT
    google: int = field(default_factory=google_port)
    smtp: int = production.SMTP_PORT
    sqlserver: Mapping[str, int] = field(default_factory=_sqlserver_ports)


class Places(Struct, frozen=True):
    """Addresses and directories of everything outside."""

    directory: Path
    secrets: Secrets
    address: str = production.OUTSIDE_ADDRESS
    ports: Ports = field(default_factory=Ports)
    members: Mapping[str, str] = field(default_factory=_members)

    @staticmethod
    def of(layout: Layout) -> Places:
        """Return the places of a lab."""
        return Places(layout.of_server("outside"), layout.secrets())

    @property
    def tls(self) -> Path:
        return self.directory / "tls"

    @property
    def ca_bundle(self) -> Path:
        """The authorities the application trusts: REQUESTS_CA_BUNDLE of the containers."""
        return self.tls / "ca-bundle.pem"

    @property
    def proxy_ca(self) -> Path:
        """The certificate of the Senelec Proxy CA, which nobody trusts until it is added to the bundle."""
        return self.tls / "senelec-proxy-ca.pem"

    @property
    def intercepted(self) -> Path:
        """The certificates that a proxy which looks into TLS shows in place of the hosts' own."""
        return self.tls / INTERCEPTED

    @property
    def google(self) -> Path:
        return self.directory / "google"

    @property
    def service_account(self) -> Path:
        """The application's key at Google: GOOGLE_APPLICATION_CREDENTIALS of the containers."""
        return self.google / "service-account.json"

    @property
    def revoked_service_account(self) -> Path:
        """A key that Google does not know any more, of the same account."""
        return self.google / "service-account-revoked.json"

    @property
    def accepted_messages(self) -> Path:
        """One JSON object a line for each message that FCM accepted."""
        return self.google / "accepted.jsonl"

    @property
    def names_file(self) -> Path:
        """Where each host name of the internet is: {"host": ["address", port]}."""
        return self.directory / "proxy" / "names.json"

    @property
    def mail(self) -> Path:
        """The maildir that keeps what was sent; messages are the files in ``new``."""
        return self.directory / "mail"


def python_environment() -> dict[str, str]:
    """Return what a Python program of the lab needs to find this package, installed or not."""
    return {"PYTHONPATH": str(Path(samaops.__file__).parent.parent), "PYTHONUNBUFFERED": "1"}


def python_program(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs one module of this package."""
    return (sys.executable, "-m", f"samaops.lab.outside.{module}", *arguments)
