"""What people's own programs are given: where to connect, as whom; a secret never among the words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from samaops.clients.interactive import Program, psql, redis_cli, shell_of
from samaops.config.settings import Settings
from samaops.errors import UsageError

SERVERS = {
    "db": {
        "address": "10.0.0.1",
        "ssh": {"user": "ops", "port": 2222, "key_file": "/k/100% id", "known_hosts": "/k/known hosts"},
    },
    "here": {"address": "10.0.0.2", "ssh": "local"},
    "far": {"address": "10.0.0.3", "ssh": "none"},
}


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"servers": SERVERS, **sections})


def option(program: Program, name: str) -> str:
    found = [
        word.partition("=")[2]
        for before, word in zip(program.words, program.words[1:], strict=False)
        if before == "-o" and word.startswith(f"{name}=")
    ]
    assert len(found) == 1, name
    return found[0]


def test_a_log_in_has_what_is_configured_and_verifies_the_host_key() -> None:
    program = shell_of(settings(), "db", ())
    assert program.words[:3] == ("ssh", "-F", "none"), "no ssh_config changes what a look would do"
    assert option(program, "StrictHostKeyChecking") == "yes"
    assert option(program, "UserKnownHostsFile") == '"/k/known hosts"'
    assert option(program, "GlobalKnownHostsFile") == "none"
    assert option(program, "IdentityFile") == '"/k/100%% id"'
    assert option(program, "IdentitiesOnly") == "yes"
    assert option(program, "PreferredAuthentications") == "publickey", "no password is asked for"
    assert option(program, "ConnectTimeout") == "5"
    assert program.words[-6:] == ("-l", "ops", "-p", "2222", "--", "10.0.0.1")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["du -x / | sort"], "du -x / | sort"),
        (["sh", "-c", "exit 7"], "sh -c 'exit 7'"),
        (["-oProxyCommand=x"], "-oProxyCommand=x"),
    ],
)
def test_one_word_is_a_line_and_more_are_a_program_with_its_arguments(command: list[str], line: str) -> None:
    assert shell_of(settings(), "db", command).words[-3:] == ("--", "10.0.0.1", line)
    assert shell_of(settings(), "here", command).words == ("sh", "-c", line)


def test_a_log_in_here_is_the_user_s_own_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert shell_of(settings(), "here", ()).words == ("/bin/zsh",)


@pytest.mark.parametrize(("name", "words"), [("dbb", "did you mean db?"), ("far", 'ssh = "none"')])
def test_a_server_where_we_do_not_log_in_is_said(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        shell_of(settings(), name, ())
    assert words in caught.value.message


DATABASE = {"server": "db", "password": "of:samaops\\"}
POOL = {"server": "db", "password": "of the application", "admin_password": "of postgres"}


def passwords(program: Program) -> list[str]:
    return Path(program.environment["PGPASSFILE"]).read_text(encoding="utf-8").splitlines()


def test_psql_has_the_passwords_in_a_file_that_has_no_name() -> None:
    program = psql(settings(postgresql=DATABASE, pgbouncer=POOL), ["-c", "SELECT 1"], of_pool=False)
    assert program.words == ("psql", "-w", "-c", "SELECT 1")
    assert passwords(program) == [
        "10.0.0.1:5432:*:samaops:of\\:samaops\\\\",
        "10.0.0.1:5432:*:postgres:of postgres",
        "10.0.0.1:5432:*:samaconso_user:of the application",
    ]
    file = Path(program.environment["PGPASSFILE"])
    assert file.stat().st_mode & 0o777 == 0o600, "libpq takes no other"
    assert os.get_inheritable(int(file.name)), "the program has it after exec"
    assert not file.readlink().exists(), "nobody finds it on a disk"
    secrets = ("of:samaops", "of postgres", "of the application")
    assert not any(secret in value for secret in secrets for value in program.environment.values())
    place = {name: program.environment[name] for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE")}
    assert place == {"PGHOST": "10.0.0.1", "PGPORT": "5432", "PGUSER": "samaops", "PGDATABASE": "samaconso"}


def test_psql_of_the_pool_is_its_console() -> None:
    program = psql(settings(pgbouncer=POOL), [], of_pool=True)
    place = {name: program.environment[name] for name in ("PGPORT", "PGUSER", "PGDATABASE")}
    assert place == {"PGPORT": "6432", "PGUSER": "postgres", "PGDATABASE": "pgbouncer"}
    assert passwords(program)[0] == "10.0.0.1:6432:*:postgres:of postgres"


def test_what_a_shell_has_set_leads_psql_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOSTADDR": "10.9.9.9", "PGSERVICE": "x", "PGPASSWORD": "x", "PGTZ": "UTC"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGPASSFILE", "/home/ops/.pgpass")
    environment = psql(settings(postgresql={"server": "db"}), [], of_pool=False).environment
    assert not {"PGHOSTADDR", "PGSERVICE", "PGPASSWORD"} & set(environment)
    assert environment["PGTZ"] == "UTC"
    assert environment["PGPASSFILE"] == "/home/ops/.pgpass", "the user's own, where none is configured"


def test_redis_cli_has_the_password_in_its_environment() -> None:
    redis = {"server": "db", "username": "ops", "password": "of redis", "database": 2}
    program = redis_cli(settings(redis=redis), ["info", "memory"])
    words = "redis-cli -h 10.0.0.1 -p 6379 -n 2 --user ops info memory"
    assert " ".join(program.words) == words
    assert program.environment["REDISCLI_AUTH"] == "of redis"


@pytest.mark.parametrize(
    "words",
    ["-h 10.9.9.9 info", "--raw -p 6380", "-n 2 -s /tmp/x.sock", "-u redis://x", "--cluster check x:1"],
)
def test_the_password_goes_to_no_other_redis(words: str) -> None:
    redis = {"server": "db", "password": "of redis"}
    with pytest.raises(UsageError, match="leads to another Redis") as caught:
        redis_cli(settings(redis=redis), words.split())
    assert caught.value.hint == f"redis-cli {words}"


@pytest.mark.parametrize("words", ["get -h", "-n 3 info", "set -h -u", "--scan --pattern a"])
def test_what_only_looks_like_an_address_is_no_other_redis(words: str) -> None:
    program = redis_cli(settings(redis={"server": "db"}), words.split())
    assert program.words[-len(words.split()) :] == tuple(words.split())


def test_a_password_of_the_shell_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISCLI_AUTH", "of another")
    assert "REDISCLI_AUTH" not in redis_cli(settings(redis={"server": "db"}), []).environment


@pytest.mark.parametrize("of_pool", [False, True])
def test_what_is_not_configured_is_said(of_pool: bool) -> None:
    with pytest.raises(UsageError, match="is not configured"):
        psql(settings(), [], of_pool=of_pool)
    with pytest.raises(UsageError, match="is not configured"):
        redis_cli(settings(), [])


@pytest.mark.parametrize(
    ("section", "required"),
    [
        ({}, "!password"),
        ({"sslmode": "verify-full"}, None),
        ({"host": "127.0.0.1"}, None),
        ({"clear_text_password": True}, None),
    ],
)
def test_psql_gives_the_password_itself_to_nobody_without_tls(
    section: dict[str, Any], required: str | None
) -> None:
    program = psql(settings(postgresql={"server": "db", **section}), [], of_pool=False)

    assert program.environment.get("PGREQUIREAUTH") == required
