"""What a session's variables say of other connections changes nothing of what samaops looks at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.conftest import Samaops

Address = tuple[str, int]


def details(samaops: Samaops, text: str, system: str, **environment: str) -> list[str]:
    config = samaops.configure(text)
    report = samaops("--config", config, "diagnose", "--only", system, "-o", "json", **environment).json()
    return [finding["detail"] for finding in report["findings"] if finding["status"] not in ("ok", "skipped")]


@pytest.mark.parametrize(
    "environment",
    [
        {"PGSERVICE": "elsewhere"},
        {"PGHOSTADDR": "no address"},
        {"PGSSLMODE": "verify-full", "PGSSLCERTMODE": "nonsense"},
    ],
)
def test_postgresql_is_looked_at_where_it_is_configured(
    samaops: Samaops, refused: Address, environment: dict[str, str]
) -> None:
    host, port = refused
    text = f'[postgresql]\nhost = "{host}"\nport = {port}\npassword = {{env = "PGSECRET"}}\n'
    seen = details(samaops, text, "postgresql", PGSECRET="canary-4471", **environment)
    assert seen
    assert all("Connection refused" in detail for detail in seen), seen


@pytest.mark.parametrize("is_pipe", [False, True])
def test_no_keys_are_written_for_others(samaops: Samaops, refused: Address, is_pipe: bool) -> None:
    host, port = refused
    keys: Path = samaops.home / "keys"
    if is_pipe:
        os.mkfifo(keys)
    text = f'[prometheus]\nurl = "https://{host}:{port}"\n'
    seen = details(samaops, text, "prometheus", SSLKEYLOGFILE=str(keys / "x" if not is_pipe else keys))
    assert seen
    assert all("Connection refused" in detail for detail in seen), seen


@pytest.mark.parametrize("size", ["²", "9" * 14, "9" * 5000, "-3"])
@pytest.mark.parametrize("variable", ["COLUMNS", "TERMINAL_WIDTH"])
def test_a_size_that_no_screen_has_is_none(samaops: Samaops, variable: str, size: str) -> None:
    done = samaops("explain", "--help", **{variable: size})
    assert done.code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
