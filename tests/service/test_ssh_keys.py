"""Who we are and who the server is: keys, agents, certificates and what known_hosts says, against a real sshd."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from samaops.clients import ssh
from samaops.clients.errors import ClientError
from samaops.model.failure import FailureKind
from tests.service.ssh_server import SshServer, make_key, running_sshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    directory = tmp_path_factory.mktemp("sshd")
    make_key(directory / "users_authority")
    further = f"TrustedUserCAKeys {directory}/users_authority.pub\nMaxAuthTries 3"
    with running_sshd(directory, further) as server:
        yield server


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        address = f"{directory}/agent"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
        monkeypatch.setenv("SSH_AUTH_SOCK", address)
        ends_at = time.monotonic() + 10
        while not Path(address).exists():
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        yield address
        process.kill()
        process.wait(10)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a ~/.ssh in which nothing is, and no agent."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "home" / ".ssh"


def logs_in(sshd: SshServer, **changes: object) -> None:
    ssh.connect(sshd.address, sshd.settings(**changes)).close()


def refusal(sshd: SshServer, **changes: object) -> ClientError:
    with pytest.raises(ClientError) as caught:
        logs_in(sshd, **changes)
    return caught.value


def add_to_agent(*words: str) -> None:
    subprocess.run(["ssh-add", "-q", *words], check=True, timeout=10)


def sign(authority: Path, key: Path, *options: str) -> None:
    words = [
        "ssh-keygen",
        "-q",
        "-s",
        str(authority),
        "-I",
        "test",
        *options,
        str(key.with_name(key.name + ".pub")),
    ]
    subprocess.run(words, check=True, timeout=10, capture_output=True)


def private_copy(source: Path, target: Path) -> Path:
    shutil.copy(source, target)
    target.chmod(0o600)
    return target


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "2048", "-m", "PEM"),
        ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "521", "-m", "PKCS8"),
        ("-t", "ed25519"),
    ],
    ids=" ".join,
)
def test_a_key_of_any_type_and_form_logs_in(tmp_path: Path, options: tuple[str, ...]) -> None:
    with running_sshd(tmp_path) as server:
        make_key(tmp_path / "another", *options)
        (tmp_path / "client.pub").write_bytes((tmp_path / "another.pub").read_bytes())
        logs_in(server, key_file=tmp_path / "another")


def test_a_private_key_that_others_can_read_is_refused(sshd: SshServer, tmp_path: Path) -> None:
    file = private_copy(sshd.directory / "client", tmp_path / "key")
    file.chmod(0o640)
    error = refusal(sshd, key_file=file)
    assert error.kind is FailureKind.MISSING
    assert f"chmod 600 {file}" in error.message


def test_the_keys_of_the_agent_are_shown(sshd: SshServer, home: Path, agent: str) -> None:
    add_to_agent(str(sshd.directory / "client"))
    logs_in(sshd, key_file=None)


def test_the_usual_key_is_shown_and_one_with_a_passphrase_is_passed_over(sshd: SshServer, home: Path) -> None:
    make_key(home / "id_rsa", "-N", "very secret")
    private_copy(sshd.directory / "client", home / "id_ed25519")
    logs_in(sshd, key_file=None)


def test_without_any_key_it_says_where_to_set_one(sshd: SshServer, home: Path) -> None:
    error = refusal(sshd, key_file=None)
    assert (error.kind, error.stage) == (FailureKind.AUTHENTICATION, "ssh log-in")
    assert "key_file" in error.message


def test_a_key_with_a_passphrase_that_is_in_the_agent_logs_in(
    sshd: SshServer, tmp_path: Path, home: Path, agent: str
) -> None:
    locked = private_copy(sshd.directory / "client", tmp_path / "locked")
    shutil.copy(sshd.directory / "client.pub", tmp_path / "locked.pub")
    add_to_agent(str(locked))
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-N", "very secret", "-f", str(locked)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    logs_in(sshd, key_file=locked)
    add_to_agent("-D")
    assert "passphrase" in refusal(sshd, key_file=locked).message


def test_an_agent_that_hangs_or_babbles_does_not_keep_another_key_off(
    sshd: SshServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_copy(sshd.directory / "client", home / "id_ed25519")
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/agent")
        listener.listen(4)
        monkeypatch.setenv("SSH_AUTH_SOCK", f"{directory}/agent")
        started = time.monotonic()
        logs_in(sshd, key_file=None)
        assert time.monotonic() - started < 4
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    logs_in(sshd, key_file=None)


def test_too_many_keys_are_said(sshd: SshServer, home: Path, tmp_path: Path, agent: str) -> None:
    for number in range(6):
        make_key(tmp_path / f"key{number}")
        add_to_agent(str(tmp_path / f"key{number}"))
    error = refusal(sshd, key_file=None)
    assert error.kind is FailureKind.AUTHENTICATION


def test_a_server_that_wants_more_than_a_key_says_what(tmp_path: Path) -> None:
    with running_sshd(tmp_path, "AuthenticationMethods publickey,publickey") as server:
        error = refusal(server)
    assert error.kind is FailureKind.AUTHENTICATION
    assert "asks for more: publickey" in error.message


@pytest.mark.parametrize("by_agent", [False, True])
def test_a_certificate_beside_the_key_logs_in(
    sshd: SshServer, tmp_path: Path, home: Path, agent: str, by_agent: bool
) -> None:
    key = tmp_path / "certified"
    make_key(key)
    assert refusal(sshd, key_file=key).kind is FailureKind.AUTHENTICATION
    sign(sshd.directory / "users_authority", key, "-n", sshd.settings().user)
    if by_agent:
        add_to_agent(str(key))
    logs_in(sshd, key_file=None if by_agent else key)


def test_a_certificate_that_the_server_refuses_leaves_the_key_itself(sshd: SshServer, tmp_path: Path) -> None:
    key = private_copy(sshd.directory / "client", tmp_path / "client")
    shutil.copy(sshd.directory / "client.pub", tmp_path / "client.pub")
    make_key(tmp_path / "no_authority")
    sign(tmp_path / "no_authority", key, "-n", sshd.settings().user)
    logs_in(sshd, key_file=key)


def public(file: Path) -> str:
    return " ".join(file.read_text().split()[:2])


def known(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "lines"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_marked_lines_among_good_ones_change_nothing(sshd: SshServer, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    other, own = public(tmp_path / "other.pub"), public(sshd.directory / "host.pub")
    name = f"[{sshd.address}]:{sshd.port}"
    good = f"{name} {own}"
    for lines in (
        (f"@revoked {name} {other}", good),
        (good, f"@cert-authority * {other}"),
        ("rubbish", good),
    ):
        logs_in(sshd, known_hosts=known(tmp_path, *lines))


def test_a_revoked_host_key_is_refused_though_it_is_known_too(sshd: SshServer, tmp_path: Path) -> None:
    own = public(sshd.directory / "host.pub")
    file = known(tmp_path, f"[{sshd.address}]:{sshd.port} {own}", f"@revoked * {own}")
    error = refusal(sshd, known_hosts=file)
    assert error.kind is FailureKind.HOST_KEY
    assert "revoked" in error.message


def test_the_key_that_is_known_is_asked_for_when_the_server_has_several(tmp_path: Path) -> None:
    make_key(tmp_path / "host_rsa", "-t", "rsa", "-b", "2048")
    with running_sshd(tmp_path, f"HostKey {tmp_path}/host_rsa") as server:
        name = f"[{server.address}]:{server.port}"
        logs_in(server, known_hosts=known(tmp_path, f"{name} {public(tmp_path / 'host_rsa.pub')}"))


@contextmanager
def certified(directory: Path, *options: str) -> Iterator[tuple[SshServer, Path]]:
    """Yield an sshd that has a certified host key, and a known_hosts that trusts the authority alone."""
    for name in ("authority", "other"):
        make_key(directory / name)
    make_key(directory / "second", "-t", "ecdsa")
    authority = directory / ("other" if "OTHER" in options else "authority")
    sign(authority, directory / "second", *(word for word in options if word != "OTHER"))
    further = f"HostKey {directory}/second\nHostCertificate {directory}/second-cert.pub"
    with running_sshd(directory, further) as server:
        yield server, known(directory, f"@cert-authority [127.0.0.1]:* {public(directory / 'authority.pub')}")


@pytest.mark.parametrize("names", ["127.0.0.1", "localhost,127.0.0.1"])
def test_the_certificate_of_a_host_is_as_good_as_its_key(tmp_path: Path, names: str) -> None:
    with certified(tmp_path, "-h", "-n", names) as (server, trusted):
        logs_in(server, known_hosts=trusted)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("-h", "-n", "another.example"), "another.example"),
        (("-h", "-n", "127.0.0.1", "-V", "20200101:20200201"), "not valid at this time"),
        (("-h", "-n", "127.0.0.1", "OTHER"), "another authority"),
    ],
)
def test_a_certificate_that_proves_something_else_is_refused(
    tmp_path: Path, options: tuple[str, ...], fault: str
) -> None:
    with certified(tmp_path, *options) as (server, trusted):
        error = refusal(server, known_hosts=trusted)
    assert error.kind is FailureKind.HOST_KEY
    assert fault in error.message


def test_an_authority_that_is_revoked_certifies_nobody(tmp_path: Path) -> None:
    with certified(tmp_path, "-h", "-n", "127.0.0.1") as (server, trusted):
        trusted.write_text(f"{trusted.read_text()}@revoked * {public(tmp_path / 'authority.pub')}\n")
        assert refusal(server, known_hosts=trusted).kind is FailureKind.HOST_KEY


def test_an_authority_says_nothing_of_a_host_without_a_certificate(sshd: SshServer, tmp_path: Path) -> None:
    make_key(tmp_path / "authority")
    file = known(tmp_path, f"@cert-authority * {public(tmp_path / 'authority.pub')}")
    error = refusal(sshd, known_hosts=file)
    assert error.kind is FailureKind.HOST_KEY
    assert "is not in" in error.message


def test_nothing_of_the_environment_but_the_agent_counts(
    sshd: SshServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config").write_text("Host *\n  Port 1\n  ProxyCommand false\n  User nobody\n")
    settings = sshd.settings()
    for name in ("http_proxy", "ALL_PROXY", "all_proxy", "SOCKS_SERVER", "USER", "LOGNAME"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    ssh.connect(sshd.address, settings).close()
    assert [file.name for file in home.iterdir()] == ["config"]
