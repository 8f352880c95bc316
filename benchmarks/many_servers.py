"""A hundred servers: one sshd that answers at a hundred loopback addresses, against pyinfra; then with five hung."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import installation
import sampling
import subjects
from guide import DEADLINE_SECONDS, Measuring, refuse_failed
from msgspec import Struct
from table import Part, Row, ratio

from samaops.lab.layout import SSH_PORT

BOUND = 1.1
HUNG = 5
MOST = 250  # the addresses of 127.103.0.x
HUNG_PORT = SSH_PORT + 1
START_SECONDS = 10.0
# With a level below two, bash would read this user's .bashrc for each command: what it costs is no server's.
_SSHD = """\
ListenAddress 0.0.0.0
Port {port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/client.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
SetEnv SHLVL=1
LogLevel ERROR
"""


class Site(Struct, frozen=True):
    """Servers that are up, and where their keys are."""

    directory: Path
    addresses: tuple[str, ...]

    def configuration(self, hung: Sequence[str] = ()) -> Path:
        """Write a configuration of samaops; those that hang are asked at a port that accepts and says nothing."""
        user = getpass.getuser()
        path = self.directory / f"config-{len(hung)}.toml"
        lines = ['site = "many-servers"']
        for number, address in enumerate(self.addresses, 1):
            lines += [
                f"[servers.s{number:03}]",
                f'address = "{address}"',
                'mounts = ["/"]',
                f"[servers.s{number:03}.ssh]",
                f'user = "{user}"',
                f"port = {HUNG_PORT if address in hung else SSH_PORT}",
                f'key_file = "{self.directory}/client"',
                f'known_hosts = "{self.directory}/known_hosts"',
            ]
        # The load of one machine is that of all its servers.
        lines += ['[thresholds."servers.load.high"]', "warning = 1000000", "critical = 1000000", ""]
        path.touch(mode=0o600)
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def inventory(self) -> Path:
        """Write an inventory of pyinfra, with a configuration of ssh that says what is not asked there."""
        ssh_config = self.directory / "ssh_config"
        ssh_config.write_text(
            f"Host *\n  UserKnownHostsFile {self.directory}/known_hosts\n", encoding="utf-8"
        )
        data = {
            "ssh_user": getpass.getuser(),
            "ssh_port": SSH_PORT,
            "ssh_key": str(self.directory / "client"),
            "ssh_config_file": str(ssh_config),
            "ssh_known_hosts_file": str(self.directory / "known_hosts"),
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
        }
        path = self.directory / "inventory.py"
        path.write_text(f"hosts = ({list(self.addresses)!r}, {data!r})\n", encoding="utf-8")
        return path


def compare(count: int, measuring: Measuring) -> Part:
    """Measure pyinfra and samaops in turns on so many servers."""
    with _servers(count) as site:
        facts = ("fact", "--json", "pyinfra_facts.Disks", "pyinfra_facts.Proc")
        pyinfra = sampling.Command(
            "pyinfra",
            (str(installation.PYINFRA), str(site.inventory()), *facts),
            {"PYTHONPATH": str(Path(__file__).parent)},
        )
        series = sampling.in_turns((pyinfra, _diagnose(site.configuration())), measuring.samples)
    for sample in series["pyinfra"].samples:
        if sample.exit_code or sample.output.count('"MemAvailable"') != count:
            sys.exit(f"pyinfra did not read {count} servers: {sample.output[-1500:].strip()}")
    for sample in series["samaops"].samples:
        if (read := _read(json.loads(sample.output))) != count:
            sys.exit(f"samaops read {read} of {count} servers")
    refuse_failed(series["samaops"])
    theirs, own = series["pyinfra"], series["samaops"]
    bound = BOUND * measuring.tolerance
    return Part(
        (ratio(f"{count} servers / pyinfra", theirs.seconds, own.seconds, bound),),
        (
            f"{count} servers, processor time: pyinfra {theirs.processor_seconds:.1f} s,"
            f" samaops {own.processor_seconds:.1f} s; their sshd's count for neither.",
        ),
    )


def with_some_hung(count: int, measuring: Measuring) -> Part:
    """Measure samaops alone, with some servers that accept a connection and never say a word."""
    with _servers(count) as site, _accepting_and_silent(site.addresses[-HUNG:]):
        sample = sampling.run(_diagnose(site.configuration(site.addresses[-HUNG:])), measuring.cut_seconds)
    if sample.exit_code not in (0, 1, 2, 3):
        sys.exit(f"samaops failed (exit code {sample.exit_code}): {sample.output[-500:].strip()}")
    report = json.loads(sample.output)
    read, refused = _read(report), _statuses(report, "servers.ssh.unreachable").count("critical")
    is_whole = (read, refused) == (count - HUNG, HUNG)
    row = Row(
        f"{count} servers, {HUNG} hung",
        f"{read} read whole",
        f"{sample.seconds:.1f} s",
        "",
        f"{DEADLINE_SECONDS:.0f} s",
        sample.seconds <= DEADLINE_SECONDS and is_whole,
    )
    wrong = f"{read} servers were read, {refused} said to be silent, not {count - HUNG} and {HUNG}."
    return Part((row,), () if is_whole else (wrong,))


def _diagnose(config: Path) -> sampling.Command:
    words = (subjects.SAMAOPS, "--lang", "en", "--config", str(config), "diagnose", "--only", "servers")
    return sampling.Command("samaops", (*words, "-o", "json"))


def _read(report: dict[str, list[dict[str, str]]]) -> int:
    """Return of how many servers everything was read: memory is judged last, and of each."""
    judged = ("ok", "warning", "critical")
    counts = [
        sum(status in judged for status in _statuses(report, code))
        for code in ("servers.memory.low", "servers.clock.skewed", "servers.mount.missing")
    ]
    return min(counts)


def _statuses(report: dict[str, list[dict[str, str]]], code: str) -> list[str]:
    return [finding["status"] for finding in report["findings"] if finding["code"] == code]


@contextlib.contextmanager
def _servers(count: int) -> Iterator[Site]:
    """Start one sshd that listens everywhere in this network, which is our own and has only loopback addresses."""
    addresses = tuple(f"127.103.0.{number}" for number in range(1, count + 1))
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or sys.exit("sshd is missing (openssh-server)")
    with tempfile.TemporaryDirectory(prefix="samaops-benchmark-") as name:
        directory = Path(name)
        for key in ("host", "client"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / key)]
            subprocess.run(words, check=True, timeout=30)
        kind, key, *_comment = (directory / "host.pub").read_text(encoding="ascii").split()
        ports = (SSH_PORT, HUNG_PORT)
        vouched = [f"[{address}]:{port} {kind} {key}\n" for address in addresses for port in ports]
        (directory / "known_hosts").write_text("".join(vouched), encoding="ascii")
        config = directory / "sshd_config"
        config.write_text(_SSHD.format(port=SSH_PORT, directory=directory), encoding="ascii")
        Path("/run/sshd").mkdir(exist_ok=True)
        with subprocess.Popen([program, "-D", "-E", str(directory / "sshd.log"), "-f", str(config)]) as sshd:
            try:
                _await(addresses[0])
                yield Site(directory, addresses)
            finally:
                sshd.terminate()


def _await(address: str) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((address, SSH_PORT), 1).close()
        except OSError:
            if time.monotonic() > ends_at:
                sys.exit("sshd does not start")
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def _accepting_and_silent(addresses: Sequence[str]) -> Iterator[None]:
    """Accept every connection to these addresses, and never say a word."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            listener = stack.enter_context(socket.create_server((address, HUNG_PORT), backlog=50))
            threading.Thread(target=_hold, args=(listener,), daemon=True).start()
        yield


def _hold(listener: socket.socket) -> None:
    held = []
    with contextlib.suppress(OSError):  # it was closed: the measurement is over
        while True:
            held.append(listener.accept())
