"""SAMAOPS_SECTION__KEY sets any key; one that names no key is refused with the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.config import load
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError

FILE = """
[servers.db-1]
address = "10.0.0.1"
[servers.workers]
address = "10.0.0.3"
[redis]
password = { file = "/nowhere" }
[[api.instances]]
name = "api_1"
url = "http://10.0.0.2:8001"
server = "db-1"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(FILE)
    file.chmod(0o644)
    return file


def loaded(path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load.load(path)


def test_a_number_a_text_and_a_nested_name_are_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        path,
        monkeypatch,
        SAMAOPS_REDIS__PORT="6380",
        SAMAOPS_SITE="dakar",
        SAMAOPS_SERVERS__DB_1__ADDRESS="10.0.0.9",
        SAMAOPS_SERVERS__DB_1__SSH__PORT="2222",
    )
    assert settings.redis is not None
    assert settings.redis.port == 6380
    assert settings.site == "dakar"
    server = settings.servers["db-1"]
    assert server.address == "10.0.0.9"
    assert not isinstance(server.ssh, str)
    assert server.ssh.port == 2222


def test_lists_tables_and_members_of_lists_are_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        path,
        monkeypatch,
        SAMAOPS_MINIO__BUCKETS='["one", "two"]',
        SAMAOPS_MINIO__SERVER="workers",
        SAMAOPS_API__INSTANCES__0__URL="http://10.0.0.2:9001",
        SAMAOPS_SERVERS__NEW='{address = "10.0.0.7"}',
    )
    assert settings.minio is not None
    assert settings.minio.buckets == ("one", "two")
    assert settings.api is not None
    assert settings.api.instances[0].url == "http://10.0.0.2:9001"
    assert settings.servers["new"].address == "10.0.0.7"


def test_a_secret_may_stand_in_a_variable_or_be_referred_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(path, monkeypatch, SAMAOPS_REDIS__PASSWORD="{not json")
    assert settings.redis is not None
    assert settings.redis.password is not None
    assert settings.redis.password.reveal() == "{not json"
    monkeypatch.delenv("SAMAOPS_REDIS__PASSWORD")
    settings = loaded(path, monkeypatch, SAMAOPS_REDIS__PASSWORD__ENV="ELSEWHERE")
    assert settings.redis is not None
    assert settings.redis.password is not None
    assert settings.redis.password.env == "ELSEWHERE"
    assert settings.redis.password.file is None


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SAMAOPS_REDSI__PORT", "SAMAOPS_REDIS__PORT"),
        ("SAMAOPS_REDIS__PRT", "SAMAOPS_REDIS__PORT"),
        ("SAMAOPS_SERVERS__DB_1__ADRESS", "SAMAOPS_SERVERS__DB_1__ADDRESS"),
        ("SAMAOPS_REDIS__PORT__X", ""),
        ("SAMAOPS_API__INSTANCES__X__URL", ""),
        ("SAMAOPS___", ""),
        ("SAMAOPS_ZZZZ__A", ""),
    ],
)
def test_a_variable_that_names_no_key_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    with pytest.raises(ConfigurationError, match=variable) as caught:
        loaded(path, monkeypatch, **{variable: "1"})
    assert (f"did you mean {meant}?" if meant else "names no key") in caught.value.message


def test_a_bad_value_is_blamed_on_its_variable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(path, monkeypatch, SAMAOPS_REDIS__PORT="many")
    assert caught.value.message == "SAMAOPS_REDIS__PORT: redis.port: must be a whole number"


def test_a_member_far_behind_the_last_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="does not fit"):
        loaded(path, monkeypatch, SAMAOPS_API__INSTANCES__7__URL="http://10.0.0.2:1")
