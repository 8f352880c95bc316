"""Recognisable secrets stand in the configuration, and in nothing that comes out: screens, documents, files, logs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from samaops import resources
from samaops.cli import log, main
from samaops.config import masking
from tests.contract.conftest import Samaops, free_port
from tests.unit.config.test_example import uncommented

CANARY = "canary-e5c7"
OUTPUTS = ("human", "json", "nagios", "prometheus", "junit", "markdown")


@pytest.fixture
def config(samaops: Samaops) -> Path:
    """Return the example configuration with a literal secret in every place, and nothing listening anywhere."""
    text = resources.example_config().read_text(encoding="utf-8")
    text = re.sub(r"^#(password|admin_password|secret_key) =", r"\1 =", text, flags=re.MULTILINE)
    text = re.sub(r'\{ env = "(\w+)" \}', lambda found: f'"{CANARY}-{found[1]}"', text)
    text = re.sub(r"\b10\.101\.\d+\.\d+\b", "127.0.0.1", text)
    text = re.sub(r"(?m)^(port|management_port) = \d+", lambda found: f"{found[1]} = {free_port()}", text)
    text = re.sub(r"127\.0\.0\.1:\d+", lambda _found: f"127.0.0.1:{free_port()}", text)
    text = re.sub(
        r'ssh = \{ user = "samaops" \}', f'ssh = {{ user = "samaops", port = {free_port()} }}', text
    )
    kept = "\n".join(line for line in text.splitlines() if not _belongs_to_nothing(line))
    assert kept.count(CANARY) >= 8
    return samaops.configure(kept)


def _belongs_to_nothing(line: str) -> bool:
    """Return whether a secret was uncommented whose section is not: it would land in the section before."""
    return line.startswith("password =") and any(
        name in line for name in ("F5", "PROMETHEUS", "ALERTMANAGER", "SMTP", "RESTIC")
    )


def everything(samaops: Samaops) -> str:
    """Return the content of every file in the home, but the configuration."""
    files = [path for path in samaops.home.rglob("*") if path.is_file() and path.name != "config.toml"]
    return "\n".join(path.read_text(errors="replace") for path in files)


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_report_and_no_saved_look_holds_a_secret(samaops: Samaops, config: Path, output: str) -> None:
    saved = samaops.home / "look.json"
    done = samaops("--config", config, "-v", "diagnose", "--deadline", "4", "-o", output, "--save", saved)
    assert done.code in (2, 3, 69), done
    assert saved.exists()
    assert CANARY not in done.stdout + done.stderr + everything(samaops)


def test_config_shows_that_there_are_secrets_and_not_what_they_are(samaops: Samaops, config: Path) -> None:
    for command in (("show",), ("show", "-o", "json"), ("check",), ("path",)):
        done = samaops("--config", config, "config", *command)
        assert done.code == 0, done
        assert CANARY not in done.stdout + done.stderr
    assert masking.MASK in samaops("--config", config, "config", "show").stdout


@pytest.mark.parametrize(
    "text",
    [
        f'[redis]\nhost = "h"\npassword = {{ literal = "{CANARY}", env = "X" }}\n',
        f'[redis]\nhost = "h"\npassword = ["{CANARY}"]\n',
        f'[redis]\nhost = "h"\npassword = "{CANARY}"\nport = "x"\n',
        f'[proxy]\nurl = "http://user:{CANARY}@h:1"\n',
        f'[redis]\nhost = "h"\npassword = {{ command = ["/bin/sh", "-c", "echo {CANARY}; exit 1"] }}\n',
        f'[redis]\npassword = "{CANARY}\n',
    ],
)
def test_no_refusal_repeats_a_secret(samaops: Samaops, text: str) -> None:
    done = samaops("--config", samaops.configure(text), "config", "check")
    assert done.code == 78
    assert CANARY not in done.stdout + done.stderr + everything(samaops)


def test_the_log_of_a_bug_has_the_traceback_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    masking.remember(CANARY)

    def broken(code: str, _settings: object) -> None:
        raise ValueError(f"{code}: {CANARY}")

    monkeypatch.setattr("samaops.workflows.explain.describe", broken)
    assert main.run(["explain", "redis.memory.high", "-o", "json"]) == 70
    stdout, stderr = capfd.readouterr()
    assert stderr.count("\n") == 1
    assert str(log.path()) in stderr
    assert json.loads(stdout)["errors"][0]["exit_code"] == 70
    content = log.path().read_text()
    assert "Traceback" in content
    assert "ValueError: redis.memory.high: ********" in content
    assert CANARY not in content + stdout + stderr
    assert log.path().stat().st_mode & 0o777 == 0o600


def test_a_bug_without_a_place_for_the_log_is_still_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("samaops.workflows.explain.describe", lambda _code, _settings: 1 / 0)
    assert main.run(["explain", "redis.memory.high"]) == 70
    stderr = capfd.readouterr().err
    assert stderr.count("\n") == 1
    assert "no log, because" in stderr


def test_the_example_itself_holds_no_secret() -> None:
    for line in resources.example_config().read_text(encoding="utf-8").splitlines():
        if re.match(r"#?\w*(password|secret_key) = (?!true|false)", line):
            assert "env =" in line, line
    assert uncommented(resources.example_config().read_text(encoding="utf-8"))


def test_a_crash_leaves_no_file_of_our_memory(samaops: Samaops) -> None:
    """What samaops begins has its limits: the command that gives a secret tells what they are."""
    seen = samaops.home / "limit"
    command = ["sh", "-c", f"ulimit -c > {seen}; echo secret"]
    config = samaops.configure(
        f'[redis]\nhost = "127.0.0.1"\nport = {free_port()}\npassword = {{ command = {json.dumps(command)} }}\n'
    )
    words = shlex.join(samaops.command("--config", config, "diagnose", "--only", "redis"))
    script = f"ulimit -S -c $(ulimit -H -c); {words}"
    subprocess.run(
        ["bash", "-c", script], env=samaops.environment(), timeout=60, check=False, capture_output=True
    )
    assert seen.read_text() == "0\n"
