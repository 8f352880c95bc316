"""What builds the packages: which libraries it takes and refuses, and what it puts beside them. tests/service installs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.schedule.test_installed import verified

ROOT = Path(__file__).parents[2]
SHELL = sorted({*ROOT.glob("packaging/*.sh"), *ROOT.glob("packaging/debian/p*")})


@pytest.fixture(scope="module")
def package() -> ModuleType:
    """Return scripts/package as a module."""
    loader = SourceFileLoader("package", str(ROOT / "scripts/package"))
    spec = spec_from_loader("package", loader)
    assert spec is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        loader.exec_module(module)
    return module


def wheel(directory: Path, name: str, *needs: str, **metadata: str) -> Path:
    """Write a wheel that holds no more than what it says of itself."""
    path = directory / name
    said: Mapping[str, str] = {
        "Metadata-Version": "2.1",
        "Name": name.split("-", maxsplit=1)[0],
        "Version": "1",
        **metadata,
    }
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in said.items()]
    lines += [f"Requires-Dist: {need}" for need in needs]
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(f"{name.split('-', maxsplit=1)[0]}-1.dist-info/METADATA", "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("tag", ["manylinux_2_39_x86_64", "manylinux_2_36_x86_64", "musllinux_1_2_x86_64"])
def test_a_library_for_a_newer_machine_is_refused(package: ModuleType, tmp_path: Path, tag: str) -> None:
    wheel(tmp_path, f"lib-1-cp312-cp312-{tag}.whl")
    with pytest.raises(SystemExit, match=r"needs a newer glibc than 2\.35"):
        package.require_old_enough(tmp_path)


def test_a_library_that_runs_everywhere_is_taken(package: ModuleType, tmp_path: Path) -> None:
    for tag in ("any", "manylinux2014_x86_64.manylinux_2_17_x86_64", "manylinux_2_34_x86_64"):
        wheel(tmp_path, f"lib-1-py3-none-{tag}.whl")
    package.require_old_enough(tmp_path)


def test_what_only_an_older_python_of_the_same_name_needs_is_taken_along(
    package: ModuleType, tmp_path: Path
) -> None:
    needs = ('early>=4.0; python_full_version < "3.11.3"', 'never; python_version < "3.9"', "always")
    one = wheel(tmp_path, "lib-1-py3-none-any.whl", *needs)
    assert list(package.needed_by_older([one], "3.11")) == ["early>=4.0"]
    assert list(package.needed_by_older([one], "3.12")) == []


def test_whose_work_is_in_the_package_is_said(package: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "one-1-py3-none-any.whl", License_Expression="MIT")
    wheel(tmp_path, "two-1-py3-none-any.whl", Classifier="License :: OSI Approved :: BSD License")
    wheel(tmp_path, "three-1-py3-none-any.whl")
    text = package.copyrights(tmp_path)
    assert "one 1: MIT\nthree 1: see its wheel\ntwo 1: BSD License\n" in text


def test_systemd_finds_nothing_wrong_with_the_unit(package: ModuleType, tmp_path: Path) -> None:
    unit = package.unit().decode()
    assert "User=samaops\n" in unit
    assert "ConditionPathExists=/etc/samaops/config.toml\n" in unit
    assert "ExecStart=/usr/bin/samaops --config /etc/samaops/config.toml schedule run\n" in unit
    # schedule uninstall takes back what it wrote, and this is not its.
    assert not unit.startswith("# Written by samaops schedule install")
    shown = unit.replace("/usr/bin/samaops", "/bin/true")
    assert verified(tmp_path, {"samaops-schedule.service": shown}) == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_completion(package: ModuleType, shell: str) -> None:
    assert b"_SAMAOPS_COMPLETE=complete_" + shell.encode() in package.completion(shell)


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_what_the_packages_run_is_plain_shell(path: Path) -> None:
    shell = shutil.which("dash") or "sh"
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_index_and_no_archive_is_named() -> None:
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "deb.debian" + ".org", "archive.ubuntu" + ".com")
    files = [path for top in ("packaging", "scripts", "docs") for path in (ROOT / top).rglob("*")]
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in files
        if path.is_file() and "cache" not in str(path)
    }
    assert [path.name for path, text in texts.items() if any(host in text for host in hosts)] == []
