"""The Debian package and the bundle on a clean Debian without a network: installed, used, upgraded, removed."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samaops import __version__
from tests.service import clean_root
from tests.service.clean_root import CleanRoot

ROOT = Path(__file__).parents[2]
NEXT = "9.8.7"
CONFIG = "/etc/samaops/config.toml"
OURS = '# ours\nsite = "practice"\n\n[servers.one]\naddress = "127.0.0.1"\n\n[backup]\nserver = "one"\n'
Done = subprocess.CompletedProcess[str]
pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def build(source: Path, out: Path, *words: str) -> None:
    """Build packages of a tree for the Python of this machine, which is that of a clean root."""
    own = ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    python = subprocess.run(own, capture_output=True, text=True, check=True).stdout.strip()
    command = [sys.executable, str(source / "scripts/package"), *words, "--out", str(out), "--python", python]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def next_version(source: Path) -> Path:
    """Return a copy of this tree that is a later version."""
    names = ("samaops", "sql", "playbooks", "docs", "scripts", "packaging")
    for name in names:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "constraints.txt"):
        shutil.copy(path, source)
    version = source / "samaops/__init__.py"
    version.write_text(version.read_text().replace(f'"{__version__}"', f'"{NEXT}"'))
    return source


class Story:
    """What happened on one machine, one thing after the other; tests look at what came of it."""

    def __init__(self, machine: CleanRoot, out: Path) -> None:
        self.machine = machine
        self.out = out
        self.done: dict[str, Done] = {}
        self.seen: dict[str, str] = {}

    def do(self, name: str, *words: str, user: str = "root") -> Done:
        self.done[name] = self.machine(*words, user=user)
        return self.done[name]

    def must(self, name: str, *words: str, user: str = "root") -> Done:
        done = self.do(name, *words, user=user)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def put(self, path: Path, place: str = "/tmp") -> str:
        shutil.copy(path, self.machine.inside(place))
        return f"{place}/{path.name}"

    def of(self, name: str) -> str:
        return self.done[name].stdout + self.done[name].stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Return a clean machine, and the packages of this version and of a later one."""
    clean_root.require_possible()
    directory = tmp_path_factory.mktemp("packages")
    try:
        with ThreadPoolExecutor(2) as both:
            machine = both.submit(clean_root.make, directory / "root")
            both.submit(build, ROOT, directory / "out").result()
            (deb,) = (directory / "out").glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(deb), str(directory / "unpacked")], check=True)
            wheels = directory / "unpacked/usr/lib/samaops/wheels"
            later = next_version(directory / "later")
            # What is there already needs no index, as on a machine behind the proxy.
            build(later, directory / "out", "deb", "--wheels", str(wheels))
            yield Story(machine.result(), directory / "out")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def story(built: Story) -> Story:
    """Return what came of it: the package installed, used, upgraded and removed, then the bundle."""
    machine, must, do = built.machine, built.must, built.do
    deb, newer = sorted(built.out.glob("*.deb"), key=lambda path: NEXT in path.name)
    must("network", "cat", "/proc/net/dev")
    must("install", "dpkg", "-i", built.put(deb))
    must("version", "samaops", "--version")
    built.seen["modes"] = must(
        "modes", "stat", "-c", "%a %U:%G %n", "/etc/samaops", "/etc/samaops/secrets", "/run/samaops",
        "/var/lib/samaops", "/var/lib/samaops/home", "/var/log/samaops",
    ).stdout  # fmt: skip
    must("bash", "bash", "-c", ". /usr/share/bash-completion/completions/samaops; complete -p samaops")
    do("doctor", "samaops", "doctor", "-o", "json")
    must("docs", "samaops", "docs", "-o", "json")
    must("page", "samaops", "docs", "install")
    must("init", "samaops", "config", "init", "--path", CONFIG)
    built.seen["example"] = machine.inside(CONFIG).read_text()
    machine.inside(CONFIG).write_text(OURS)
    must("config", "sh", "-c", f"chown root:samaops {CONFIG} && chmod 640 {CONFIG}")
    look = gzip.decompress((ROOT / "tests/data/looks/four-faults.json.gz").read_bytes())
    machine.inside("/tmp/look.json").write_bytes(look)
    do("diagnose", "samaops", "diagnose", "--from", "/tmp/look.json", "-o", "json")
    units = "/var/lib/samaops/home/units"
    must("place", "mkdir", units, user="samaops")
    must("change", "samaops", "schedule", "install", "systemd", units, "--yes", user="samaops")
    built.seen["unit"] = machine.inside(f"{units}/samaops-schedule.service").read_text()
    machine.inside("/etc/logrotate.d/samaops").write_text("# ours\n")

    do("no python", "env", "SAMAOPS_PYTHON=/nonexistent", "/usr/lib/samaops/setup", "configure", "1")
    must("version after that", "samaops", "--version")
    built.seen["environment"] = must("current", "readlink", "-f", "/usr/lib/samaops/current").stdout
    must("trigger", "sh", "-c", "dpkg-trigger --by-package=samaops /usr/bin/python3 && dpkg --configure -a")
    must("current after trigger", "readlink", "-f", "/usr/lib/samaops/current")

    must("upgrade", "dpkg", "-i", built.put(newer))
    must("version upgraded", "samaops", "--version")
    must("environments", "ls", "/usr/lib/samaops/environments")
    must("history upgraded", "samaops", "history", "list", "-o", "json", user="samaops")
    built.seen["config upgraded"] = machine.inside(CONFIG).read_text()
    built.seen["logrotate upgraded"] = machine.inside("/etc/logrotate.d/samaops").read_text()
    must("config upgrade", "samaops", "config", "upgrade", "--yes")
    must("config rights", "stat", "-c", "%a %U:%G", CONFIG)

    must("remove", "dpkg", "-r", "samaops")
    must("left", "find", "/usr", "-name", "*samaops*", "!", "-path", "*/wheels/*")
    must("purge", "dpkg", "-P", "samaops")
    (bundle,) = built.out.glob("*.tar.gz")
    with tarfile.open(bundle) as archive:
        archive.extractall(machine.inside("/tmp"))
    installer = f"/tmp/samaops-{__version__}/install.sh"
    must("bundle", installer)
    must("bundle version", "samaops", "--version")
    must("bundle history", "samaops", "history", "list", "-o", "json", user="samaops")
    must("bundle removed", installer, "--remove")
    must("bundle left", "find", "/usr", "-name", "*samaops*")
    return built


def test_nothing_reaches_a_network_there(story: Story) -> None:
    interfaces = re.findall(r"^\s*(\S+):", story.of("network"), re.MULTILINE)
    assert interfaces == ["lo"]


def test_it_is_installed_and_runs(story: Story) -> None:
    assert story.done["version"].stdout == f"samaops {__version__}\n"
    assert "samaops config init --path /etc/samaops/config.toml" in story.of("install")


def test_user_and_directories_have_their_rights(story: Story) -> None:
    assert story.seen["modes"].splitlines() == [
        "750 root:samaops /etc/samaops",
        "750 root:samaops /etc/samaops/secrets",
        "2770 root:samaops /run/samaops",
        "755 root:root /var/lib/samaops",
        "700 samaops:samaops /var/lib/samaops/home",
        "2770 samaops:samaops /var/log/samaops",
    ]


def test_its_doctor_finds_every_library_and_names_what_is_to_be_done(story: Story) -> None:
    findings = json.loads(story.done["doctor"].stdout)["findings"]
    status = {finding["subject"]: finding["status"] for finding in findings}
    assert status["doctor/libraries"] == status["doctor/locks"] == status["doctor/state"] == "ok"
    assert [subject for subject in status if status[subject] == "critical"] == ["doctor/configuration"]


def test_documentation_completion_and_example_are_there(story: Story) -> None:
    pages = {row["page"] for row in json.loads(story.done["docs"].stdout)["documents"]}
    assert {path.stem for path in ROOT.glob("docs/*.md")} < pages
    assert story.done["page"].stdout == (ROOT / "docs/install.md").read_text()
    assert "complete -o default -F _samaops_completion samaops" in story.done["bash"].stdout
    assert story.seen["example"] == (ROOT / "config.example.toml").read_text()


def test_a_saved_look_is_judged_there(story: Story) -> None:
    report = json.loads(story.done["diagnose"].stdout)
    assert (story.done["diagnose"].returncode, report["status"]) == (2, "critical")
    assert len(report["causes"]) == 4


def test_what_cannot_be_made_leaves_the_version_that_is_there(story: Story) -> None:
    assert story.done["no python"].returncode == 1
    assert "there is no /nonexistent" in story.of("no python")
    assert story.done["version after that"].stdout == f"samaops {__version__}\n"


def test_a_trigger_for_the_same_python_makes_nothing_anew(story: Story) -> None:
    assert story.done["current after trigger"].stdout == story.seen["environment"]


def test_an_upgrade_keeps_configuration_and_history(story: Story) -> None:
    assert story.done["version upgraded"].stdout == f"samaops {NEXT}\n"
    (environment,) = story.done["environments"].stdout.split()
    assert environment.startswith(f"{NEXT}-python")
    assert story.seen["config upgraded"] == OURS
    assert story.seen["logrotate upgraded"] == "# ours\n"
    (change,) = json.loads(story.done["history upgraded"].stdout)["changes"]
    assert change["verb"] == "schedule install systemd /var/lib/samaops/home/units"


def test_what_it_installs_is_there_in_the_next_version_too(story: Story) -> None:
    assert "ExecStart=/usr/bin/samaops --config /etc/samaops/config.toml schedule run\n" in story.seen["unit"]
    assert story.seen["environment"].strip() not in story.seen["unit"]


def test_a_configuration_is_upgraded_with_its_owner_and_its_rights(story: Story) -> None:
    assert story.machine.inside(CONFIG).read_text() == OURS.replace("# ours\n", "version = 1\n# ours\n", 1)
    assert story.done["config rights"].stdout == "640 root:samaops\n"


def test_a_removal_leaves_the_data_and_says_so(story: Story) -> None:
    assert story.done["left"].stdout == ""
    for place in ("/etc/samaops", "/var/lib/samaops", "/var/log/samaops"):
        assert f"{place} stays as it is; to remove it: rm -r {place}" in story.of("remove")
        assert f"{place} stays, a purge too removes no configuration" in story.of("purge")
    assert story.machine.inside(CONFIG).exists()


def test_the_bundle_does_the_same(story: Story) -> None:
    assert story.done["bundle version"].stdout == f"samaops {__version__}\n"
    assert story.done["bundle history"].stdout == story.done["history upgraded"].stdout
    assert story.done["bundle left"].stdout == ""
