"""Commands that hints propose, with the real names and addresses of the configuration."""

from __future__ import annotations

import shlex

from samaops.config.settings import Settings, Ssh


def on_server(settings: Settings, server: str, command: str) -> str:
    """Return the command line that runs a command on a server, from here."""
    configured = settings.servers.get(server)
    if configured is None or configured.ssh == "none":
        return f"ssh {server} {shlex.quote(command)}"
    if not isinstance(configured.ssh, Ssh):
        return command
    ssh = configured.ssh
    port = "" if ssh.port == 22 else f"-p {ssh.port} "
    return f"ssh {port}{ssh.user}@{configured.address} {shlex.quote(command)}"
