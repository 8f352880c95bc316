"""SSH of the lab's servers: a key pair for the operator, a host key for each server, and an sshd on each."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

from msgspec import Struct

from samaops.lab import templating
from samaops.lab.layout import ADDRESSES, SSH_PORT, Layout
from samaops.lab.probes import greets
from samaops.lab.processes import ProcessSpec
from samaops.lab.requirements import program
from samaops.lab.servers import NAMES, Server


class SshFiles(Struct, frozen=True):
    """Where the lab's SSH keys are."""

    directory: Path

    @property
    def client_key(self) -> Path:
        return self.directory / "operator"

    @property
    def config(self) -> Path:
        """A client configuration, for a person: ``ssh -F FILE db``."""
        return self.directory / "config"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def host_key(self, server: str) -> Path:
        """Return the private host key of one server."""
        return self.directory / f"host_{server}"


def files(layout: Layout) -> SshFiles:
    """Return where the keys of a lab are."""
    return SshFiles(layout.directory / "ssh")


def login_user() -> str:
    """Return the user that may log in: whoever runs the lab."""
    return getpass.getuser()


def prepare(layout: Layout) -> None:
    """Make the keys that are missing, and the known_hosts file that vouches for them."""
    keys = files(layout)
    keys.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for key in (keys.client_key, *(keys.host_key(name) for name in NAMES)):
        if not key.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "samaops-lab", "-f", str(key)]
            subprocess.run(command, check=True, capture_output=True, timeout=30)
    templating.write(keys.known_hosts, "".join(_known_host(keys, name) for name in NAMES))
    values = {"addresses": {name: ADDRESSES[name] for name in NAMES}, "port": SSH_PORT, "user": login_user()}
    templating.write(keys.config, templating.render("ssh_config", files=keys, **values))


def _known_host(keys: SshFiles, name: str) -> str:
    kind, key, *_comment = keys.host_key(name).with_suffix(".pub").read_text(encoding="ascii").split()
    return f"[{ADDRESSES[name]}]:{SSH_PORT} {kind} {key}\n"


def spec(layout: Layout, server: Server) -> ProcessSpec:
    """Return the sshd of one server."""
    keys = files(layout)
    path = keys.directory / f"sshd_{server.name}.conf"
    content = templating.render(
        "sshd_config",
        server=server,
        port=SSH_PORT,
        host_key=keys.host_key(server.name),
        client_public_key=keys.client_key.with_suffix(".pub"),
        as_root=os.geteuid() == 0,
        user=login_user(),
        lab=layout.directory,
    )
    templating.write(path, content)
    return ProcessSpec(
        name=f"sshd_{server.name}",
        server=server.name,
        address=server.address,
        port=SSH_PORT,
        argv=(program("sshd"), "-D", "-e", "-f", str(path)),
        ready=lambda: greets(server.address, SSH_PORT, b"SSH-"),
    )
