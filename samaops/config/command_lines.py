"""Commands that a person can type to look closer, with the real names and addresses of the settings."""

from __future__ import annotations

import shlex
from pathlib import Path

from samaops.config.settings import Settings, Ssh

_DEFAULT_KNOWN_HOSTS = Path("~/.ssh/known_hosts")


def on_server(settings: Settings, server: str | None, command: str) -> str:
    """Return the command line that runs ``command`` on a server, over SSH when it is another machine."""
    configured = settings.servers.get(server or "")
    if configured is not None and configured.ssh == "local":
        return command
    return f"{log_in(settings, server)} {shlex.quote(command)}"


def log_in(settings: Settings, server: str | None) -> str:
    """Return the ssh command line of a server."""
    configured = settings.servers.get(server or "")
    if configured is None:
        return f"ssh {server}"
    if not isinstance(configured.ssh, Ssh):
        return f"ssh {configured.address}"
    ssh = configured.ssh
    words = ["ssh"]
    if ssh.port != 22:
        words += ["-p", str(ssh.port)]
    if ssh.key_file:
        words += ["-i", str(ssh.key_file)]
    if ssh.known_hosts.expanduser() != _DEFAULT_KNOWN_HOSTS.expanduser():
        words += ["-o", f"UserKnownHostsFile={ssh.known_hosts}"]
    return shlex.join([*words, f"{ssh.user}@{configured.address}"])
