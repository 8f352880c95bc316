"""A configuration is read whole and right, or refused with one clear sentence per fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from samaops.config import documents, load
from samaops.errors import ConfigurationError
from samaops.i18n import use_language

SERVERS = '[servers.workers]\naddress = "10.101.0.3"\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SAMAOPS_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "config.toml"


def refusal(path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        load.load(path)
    assert caught.value.exit_code == 78
    return caught.value.message


def test_a_good_file_gives_settings(write: Path) -> None:
    write.write_text(SERVERS + "[redis]\nport = 6380\n")
    settings = load.load(write)
    assert settings.redis is not None
    assert settings.redis.port == 6380
    assert settings.host_of(settings.redis) == "10.101.0.3"


def test_a_byte_order_mark_is_no_part_of_a_file(write: Path) -> None:
    write.write_bytes(b"\xef\xbb\xbf" + SERVERS.encode())
    write.chmod(0o600)
    assert "workers" in load.load(write).servers
    assert "line 1, column 1:" in refusal(write, b"\xef\xbb\xbf= 1\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"none\.toml: the configuration cannot be read: No such file"
    ):
        load.load(tmp_path / "none.toml")


def test_bad_toml_is_placed_by_line_and_column(write: Path) -> None:
    assert f"{write}: line 2, column 8: not valid TOML" in refusal(write, "[redis]\nport = \n")


def test_toml_that_ends_too_early_is_placed_at_its_end(write: Path) -> None:
    assert "line 2, column 8" in refusal(write, '[redis]\nx = "ab')


def test_what_is_not_text_is_placed_by_line(write: Path) -> None:
    assert "line 2: not UTF-8 text" in refusal(write, b"# ok\n# \xff\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[redis]\nprt = 1", "redis.prt: unknown key; did you mean port?"),
        ("[redsi]", "redsi: unknown key; did you mean redis?"),
        ("[zzz]", "zzz: unknown key; known here: "),
        ('[redis]\nport = "x"', "redis.port: must be a whole number"),
        ("[redis]\nport = 70000", "redis.port: must be at most 65535"),
        ("[redis]\ntimeout = 0", "redis.timeout: must be more than 0"),
        ("[redis]\ntimeout = inf", "redis.timeout: must be a finite number"),
        ("[redis]\nexpected_policy = 3", "redis.expected_policy: must be a text in quotes"),
        ("redis = 3", "redis: must be a section or a table"),
        ("[minio]\nbuckets = 3", 'minio.buckets: must be a list, such as ["a", "b"]'),
        ('[servers.db]\naddress = "10.101.X.X1"', "'10.101.X.X1' is not an IP address or a host name"),
        ('[servers.db]\naddress = "10.101.0.256"', "is not an IP address or a host name"),
        ('[servers.db]\naddress = "a b"', "is not an IP address or a host name"),
        ("[servers.db]", "servers.db.address: this key is required"),
        ('[servers.db]\naddress = "h"\nssh = "locl"', "servers.db.ssh: must be one of 'local', 'none'"),
        (
            '[servers.db]\naddress = "h"\nssh = { usr = "a" }',
            "servers.db.ssh.usr: unknown key; did you mean user?",
        ),
        ('[servers.db]\naddress = "h"\nssh = { key_file = "gone" }', "servers.db.ssh.key_file: "),
        (
            '[servers.db]\naddress = "h"\nssh = { known_hosts = "~no-such-user/x" }',
            "home directory of ~no-such-user/x",
        ),
        (
            '[servers.db]\naddress = "h"\nssh = { key_file = "a\\u0000b" }',
            "a path cannot hold a NUL character",
        ),
        ('[proxy]\nurl = "ftp://x"', "proxy.url: not a URL such as"),
        ('[proxy]\nurl = "http://me:canary@h"', "proxy.url: a URL must not hold a user or password"),
        ("[redis]\npassword = 3", "redis.password: a secret is a string, {env"),
        ('[redis]\npassword = { env = "A", file = "b" }', "redis.password: a secret is a string, {env"),
        ("[redis]", "redis.server: 'workers' is not in [servers]; known: none"),
        (
            SERVERS + '[redis]\nserver = "worker"',
            "redis.server: 'worker' is not in [servers]; did you mean workers?",
        ),
        ('[docker.containers]\nx = ["a"]', "docker.containers.x: 'x' is not in [servers]"),
        (
            "[[sqlserver]]\nname='a'\nhost='h'\n[[sqlserver]]\nname='a'\nhost='i'",
            "sqlserver[1].name: 'a' is already",
        ),
        ("x = " + "[" * 5000, "not valid TOML: too deep or too long a value"),
        (".".join(["x"] * 900) + " = 1", "not valid TOML: too deep or too long a value"),
        # Hours for the reader: its time grows with the square of the parts.
        (".".join(["x"] * 400_000) + " = 1", "not valid TOML: too deep or too long a value"),
        ("x = " + "{a = " * 60 + "1" + "}" * 60, "not valid TOML: too deep or too long a value"),
    ],
)
def test_a_fault_is_named_with_its_key(write: Path, text: str, sentence: str) -> None:
    message = refusal(write, text)
    assert message.startswith(f"{write}: ")
    assert sentence in message
    assert "canary" not in message


def test_every_fault_is_named_at_once(write: Path) -> None:
    assert len(refusal(write, "[redis]\nprt = 1\nport = 0\n[redsi]\n").splitlines()) == 3


def test_a_literal_secret_is_refused_in_a_file_that_others_can_read(write: Path) -> None:
    text = SERVERS + '[redis]\npassword = "canary"\n'
    for mode in (0o644, 0o640, 0o604):
        message = refusal(write, text, mode)
        assert "redis.password: a secret stands in a file that others can read" in message
        assert "canary" not in message
    write.chmod(0o600)
    assert load.load(write).redis is not None


def test_a_reference_to_a_secret_may_be_read_by_all(write: Path) -> None:
    write.write_text(SERVERS + '[redis]\npassword = { env = "X" }\n')
    write.chmod(0o644)
    assert load.load(write).redis is not None


def test_a_server_of_no_importance_need_not_be_configured(write: Path) -> None:
    write.write_text('[redis]\nhost = "10.101.0.3"\n')
    assert load.load(write).redis is not None


def test_relative_paths_start_at_the_file_and_tilde_is_home(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    text = '[servers.{0}]\naddress = "h"\n[servers.{0}.ssh]\nknown_hosts = "{1}"\n'
    write.write_text(text.format("a", "hosts") + text.format("b", "~/hosts") + '[servers.c]\naddress = "h"\n')
    servers = load.load(write).servers
    known = {
        name: server.ssh.known_hosts for name, server in servers.items() if not isinstance(server.ssh, str)
    }
    assert known["a"] == write.parent / "hosts"
    assert known["b"] == Path("/home/someone/hosts")
    assert known["c"] == Path("/home/someone/.ssh/known_hosts")


def test_with_no_file_anywhere_the_places_and_the_next_commands_are_named(write: Path) -> None:
    if Path("/etc/samaops/config.toml").exists():
        pytest.skip("this machine has a configuration")
    with pytest.raises(ConfigurationError) as caught:
        load.find()
    assert str(write.parent / "home" / "samaops" / "config.toml") in caught.value.message
    assert "samaops config init" in caught.value.hint
    assert "samaops lab up" in caught.value.hint


def test_the_named_file_comes_first_then_the_variable_then_the_own_one(
    write: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "home" / "samaops" / "config.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert load.find() == own
    monkeypatch.setenv("SAMAOPS_CONFIG", str(tmp_path / "gone.toml"))
    assert load.find() == tmp_path / "gone.toml", "a named file that is missing is not passed over"
    assert load.find(write) == write


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.toml", "[redis]\nport = \n", "TOML non valide ; le lecteur dit en anglais : « Invalid value »"),
        (
            "a.yaml",
            "id: x\nb: [\n",
            "ligne 3, colonne 1 : ce n'est pas du YAML ; le lecteur dit en anglais : « ",
        ),
        ("b.yaml", "id: !!python/name:os.system x\n", "ligne 1, colonne 5 : ce n'est pas du YAML"),
    ],
)
def test_the_reader_s_english_words_stand_in_quotes_of_a_french_sentence(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    file = tmp_path / name
    file.write_text(content)
    file.chmod(0o600)
    use_language("fr")
    try:
        read = load.parse if name.endswith("toml") else lambda file: documents.load(file, TypeAdapter(dict))
        with pytest.raises(ConfigurationError) as refused:
            read(file)
    finally:
        use_language("en")
    assert words in refused.value.message.replace("\u202f", " ").replace("\u00a0", " ")
    assert "<unicode string>" not in refused.value.message
