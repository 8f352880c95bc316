"""Which lines of a known_hosts file speak of a host, as sshd(8) describes the file."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from samaops.clients import known_hosts

KEY, OTHER, THIRD = (b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32 for number in (1, 2, 3))


def line(names: str, key: bytes = KEY, marker: str = "") -> str:
    return f"{marker} {names} ssh-ed25519 {base64.b64encode(key).decode()} comment".strip()


def hashed(name: str) -> str:
    salt = b"s" * 20
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


def read(tmp_path: Path, *lines: str, address: str = "db.example", port: int = 22) -> known_hosts.KnownHost:
    file = tmp_path / "known_hosts"
    file.write_text("\n".join(lines) + "\n")
    return known_hosts.read(file, address, port)


@pytest.mark.parametrize(
    ("names", "port", "is_named"),
    [
        ("db.example", 22, True),
        ("DB.Example", 22, True),
        ("10.0.0.3,db.example", 22, True),
        ("*.example", 22, True),
        ("d?.example", 22, True),
        ("*.example,!db.example", 22, False),
        ("!db.example,*.example", 22, False),
        ("db_example", 22, False),
        ("db.example.net", 22, False),
        ("[db.example]:2222", 2222, True),
        ("[db.example]:2222", 22, False),
        ("db.example", 2222, True),
        ("[db.example]:*", 2222, True),
        (hashed("db.example"), 22, True),
        (hashed("[db.example]:2222"), 2222, True),
        (hashed("api.example"), 22, False),
        ("|1|bad|", 22, False),
        ("|1|bad", 22, False),
    ],
)
def test_a_line_names_a_host_or_not(tmp_path: Path, names: str, port: int, is_named: bool) -> None:
    assert read(tmp_path, line(names), port=port).keys == ((KEY,) if is_named else ())


def test_marked_lines_are_no_keys_and_do_not_hide_the_good_ones(tmp_path: Path) -> None:
    host = read(
        tmp_path,
        line("*", OTHER, "@revoked"),
        line("*.example", THIRD, "@cert-authority"),
        line("db.example", THIRD, "@future"),
        line("db.example"),
    )
    assert (host.keys, host.revoked, host.authorities) == ((KEY,), (OTHER,), (THIRD,))


def test_several_keys_of_one_type_are_all_known(tmp_path: Path) -> None:
    assert read(tmp_path, line("db.example"), line("db.example", OTHER)).keys == (KEY, OTHER)


def test_a_key_of_the_port_comes_before_one_of_the_machine(tmp_path: Path) -> None:
    assert read(tmp_path, line("db.example"), line("[db.example]:2222", OTHER), port=2222).keys == (OTHER,)


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    broken = (
        "",
        "# " + line("db.example", OTHER),
        "db.example",
        "db.example ssh-ed25519 A",
        "@revoked",
        "\t \udcff",
    )
    file = tmp_path / "known_hosts"
    file.write_bytes(
        "\n".join((*broken, line("db.example", OTHER).replace("ed25519", "rsa"), line("db.example"))).encode(
            errors="surrogateescape"
        )
    )
    assert known_hosts.read(file, "db.example", 22).keys == (KEY,)


def test_no_file_knows_nothing(tmp_path: Path) -> None:
    assert known_hosts.read(tmp_path / "none", "db.example", 22).keys == ()
