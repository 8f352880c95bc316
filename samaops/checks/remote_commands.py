"""Commands that a person can type to look closer, with the real names and addresses of the settings."""

from __future__ import annotations

import shlex

from samaops.config.settings import Settings, Ssh


def on_server(settings: Settings, server: str | None, command: str) -> str:
    """Return the command line that runs ``command`` on a server, over SSH when it is another machine."""
    configured = settings.servers.get(server or "")
    if configured is None or not isinstance(configured.ssh, Ssh):
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
    port = [] if ssh.port == 22 else ["-p", str(ssh.port)]
    key = ["-i", str(ssh.key_file)] if ssh.key_file else []
    return shlex.join(["ssh", *port, *key, f"{ssh.user}@{configured.address}"])
