"""``--only`` and ``--skip`` with a server: what lies elsewhere is neither looked at nor shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import Samaops

Address = tuple[str, int]


def two_members(refused: Address) -> str:
    host, port = refused
    servers = "".join(
        f'[servers.{name}]\naddress = "{host}"\nssh = "none"\nping = false\n' for name in ("near", "far")
    )
    members = "".join(
        f'[[api.instances]]\nname = "api_{name}"\nurl = "http://{host}:{port}"\nserver = "{name}"\n'
        for name in ("near", "far")
    )
    return servers + members


@pytest.mark.parametrize(
    ("arguments", "subjects"),
    [
        (("--only", "api"), {"api/api_near", "api/api_far"}),
        (("--only", "api@near"), {"api/api_near"}),
        (("--only", "@near", "--skip", "servers,docker"), {"api/api_near"}),
        (("--only", "api", "--skip", "@far"), {"api/api_near"}),
        (("--only", "api.member@far"), {"api/api_far"}),
    ],
)
def test_only_one_server(
    samaops: Samaops, refused: Address, arguments: tuple[str, ...], subjects: set[str]
) -> None:
    config = samaops.configure(two_members(refused))
    saved = samaops.home / "look.json"
    live: Any = samaops("--config", config, "diagnose", *arguments, "-o", "json", "--save", saved).json()
    about_members = {one["subject"] for one in live["findings"] if one["subject"].startswith("api/api_")}
    assert about_members == subjects
    assert (
        live["findings"] == samaops("diagnose", "--from", saved, *arguments, "-o", "json").json()["findings"]
    )


@pytest.mark.parametrize("option", ["--only", "--skip"])
def test_a_server_that_is_not_configured_is_64(samaops: Samaops, refused: Address, option: str) -> None:
    config = samaops.configure(two_members(refused))
    done = samaops("--config", config, "diagnose", option, "api@nera")
    assert (done.code, done.stdout) == (64, "")
    assert "did you mean near?" in done.stderr
