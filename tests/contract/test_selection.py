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


def test_what_writes_is_not_looked_at_without_the_flag(samaops: Samaops, refused: Address) -> None:
    host, port = refused
    config = samaops.configure(f'[redis]\nhost = "{host}"\nport = {port}\n')
    done = samaops("--config", config, "diagnose", "--only", "redis.write.probe")
    assert (done.code, done.stdout) == (64, "")
    assert "--probe" in done.stderr
    codes = {one["code"] for one in samaops("--config", config, "diagnose", "-o", "json").json()["findings"]}
    assert "redis.write.probe" not in codes
    probed: Any = samaops("--config", config, "diagnose", "--probe", "-o", "json").json()
    (finding,) = (one for one in probed["findings"] if one["code"] == "redis.write.probe")
    assert (finding["status"], probed["footprint"]["writes"]) == ("critical", 0)
    listed = samaops("diagnose", "--list-checks", "-o", "json").stdout
    assert "redis.write.probe" in listed


def test_a_saved_look_is_not_probed(samaops: Samaops) -> None:
    assert samaops("diagnose", "--from", "look.json", "--probe").code == 64
