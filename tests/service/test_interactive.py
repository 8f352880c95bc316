"""`samaops ssh`, `db psql` and `redis cli` with the real programs, against real servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samaops.clients.interactive import psql
from samaops.config.settings import Settings
from tests.service.postgres_server import (
    PgBouncerServer,
    PostgresServer,
    pgbouncer_server,
    postgres_server,
)
from tests.service.ssh_server import SshServer, make_key, running_sshd

__all__ = ["pgbouncer_server", "postgres_server"]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def configuration(directory: Path, sshd: SshServer, known_hosts: Path | None = None) -> Path:
    ssh = sshd.settings()
    path = directory / "config.toml"
    path.write_text(
        f'[servers.db]\naddress = "{sshd.address}"\n[servers.db.ssh]\nuser = "{ssh.user}"\nport = {ssh.port}\n'
        f'key_file = "{ssh.key_file}"\nknown_hosts = "{known_hosts or ssh.known_hosts}"\n'
    )
    return path


def samaops(config: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "samaops", "--config", str(config), *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_command_there_has_our_input_and_its_own_exit_code(sshd: SshServer, tmp_path: Path) -> None:
    config = configuration(tmp_path, sshd)
    done = samaops(config, "ssh", "db", "--", "cat; echo fault >&2; exit 7", stdin="words")
    assert (done.returncode, done.stdout, done.stderr) == (7, "words", "fault\n")
    done = samaops(config, "ssh", "db", "--", "sh", "-c", "echo $0 $1; exit 3", "a b", "c;d")
    assert (done.returncode, done.stdout) == (3, "a b c;d\n")


def test_a_program_whose_reader_has_gone_ends_silently(sshd: SshServer, tmp_path: Path) -> None:
    line = f"{sys.executable} -m samaops --config {configuration(tmp_path, sshd)} ssh db -- yes | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_another_host_key_is_refused_whatever_ssh_config_says(
    sshd: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path / "other")
    kind, key, *_comment = (tmp_path / "other.pub").read_text().split()
    wrong = tmp_path / "known_hosts"
    wrong.write_text(f"[{sshd.address}]:{sshd.port} {kind} {key}\n")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        "Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    for known_hosts in (wrong, tmp_path / "none"):
        done = samaops(configuration(tmp_path, sshd, known_hosts), "ssh", "db", "--", "echo in")
        assert (done.returncode, done.stdout) == (255, "")
        assert "Host key verification failed" in done.stderr


def test_psql_logs_in_as_each_configured_user_and_never_asks(
    postgres_server: PostgresServer, pgbouncer_server: PgBouncerServer
) -> None:
    settings = Settings(postgresql=postgres_server.settings(), pgbouncer=pgbouncer_server.settings())

    def run(*words: str, of_pool: bool = False) -> subprocess.CompletedProcess[str]:
        program = psql(settings, ["-At", *words], of_pool=of_pool)
        file = int(program.environment["PGPASSFILE"].rpartition("/")[2])
        return subprocess.run(
            program.words,
            env=dict(program.environment),
            pass_fds=(file,),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    pool = pgbouncer_server.settings()
    assert run("-c", "SELECT current_user").stdout == f"{postgres_server.settings().user}\n"
    assert run("-c", "SHOW VERSION", of_pool=True).stdout.startswith("PgBouncer")
    through = run("-U", pool.user, "-d", pool.database, "-c", "SELECT current_user", of_pool=True)
    assert through.stdout == f"{pool.user}\n"
    stranger = run("-U", "nobody", "-c", "SELECT 1")
    assert stranger.returncode == 2
    assert "no password supplied" in stranger.stderr or "authentication failed" in stranger.stderr
