"""The built wheel works in a clean environment, with everything that travels in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from samaops import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it alone into a new environment that borrows our libraries; return its bin."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(directory),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = directory.glob("samaops-*.whl")
    venv.create(directory / "venv", with_pip=False, symlinks=True)
    python = directory / "venv" / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    (site,) = (directory / "venv" / "lib").glob("python*/site-packages")
    # Libraries only: the .pth of an editable samaops in there is not followed.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory / "venv" / "bin"


def run(installed: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    home = str(installed.parent)
    own = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", **environment}
    command = [str(installed / "samaops"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=own, cwd=home)


def test_it_runs_and_is_not_the_checkout(installed: Path) -> None:
    assert run(installed, "--version").stdout == f"samaops {__version__}\n"
    code = "import samaops; print(samaops.__file__)"
    where = subprocess.run(
        [installed / "python", "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert where.stdout.startswith(str(installed.parent))


def test_it_explains_and_lists_its_checks(installed: Path) -> None:
    assert "What it means" in run(installed, "explain", "redis.memory.high").stdout
    assert run(installed, "diagnose", "--list-checks", "-o", "json").returncode == 0


def test_without_the_labs_libraries_everything_but_the_lab_works(installed: Path, tmp_path: Path) -> None:
    names = ("aiosmtpd", "celery", "fastapi", "flower", "kombu", "minio", "moto", "uvicorn")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({names}))\n")
    blocked = {"PYTHONPATH": str(tmp_path)}
    done = run(installed, "explain", "worker-down", **blocked)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(installed, "lab", "up", **blocked)
    assert done.returncode == 69
    assert "is not installed" in done.stderr
    assert "pip install 'samaops[lab]'" in done.stderr


def test_the_lab_names_every_library_it_lacks_before_it_starts_anything(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules.update(flask=None, flower=None)\n")
    blocked = {"PYTHONPATH": str(tmp_path)}
    done = run(installed, "lab", "up", "--dir", str(tmp_path / "lab"), **blocked)
    assert done.returncode == 69
    assert "(flask, flower is not installed)" in done.stderr
    assert "pip install 'samaops[lab]'" in done.stderr
    assert not (tmp_path / "lab").exists()


def test_the_lab_knows_its_incidents_and_its_state_outside_a_clone(installed: Path, tmp_path: Path) -> None:
    assert "redis-stopped" in run(installed, "lab", "incidents", "-o", "json").stdout
    done = run(installed, "lab", "status", "--dir", str(tmp_path / "lab"), "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (2, "down")


def test_its_manual_lies_where_man_looks(installed: Path) -> None:
    for language, word in (("", "SYNOPSIS"), ("fr", "NOM")):
        manual = installed.parent / "share" / "man" / language / "man1" / "samaops.1"
        assert word in manual.read_text(encoding="utf-8")
        assert "samaops queue purge" in manual.read_text(encoding="utf-8")


def test_it_speaks_french(installed: Path) -> None:
    assert "Ce que cela signifie" in run(installed, "--lang", "fr", "explain", "redis.memory.high").stdout


def test_it_writes_its_example_configuration(installed: Path, tmp_path: Path) -> None:
    target = tmp_path / "config.toml"
    assert run(installed, "config", "init", "--path", str(target)).returncode == 0
    assert target.read_bytes() == (ROOT / "config.example.toml").read_bytes()


@pytest.mark.parametrize("name", ["sql", "playbooks", "docs"])
def test_every_resource_travels_in_it(installed: Path, name: str) -> None:
    code = f"from samaops import resources; print(resources.directory({name!r}))"
    done = subprocess.run(
        [installed / "python", "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    found = Path(done.stdout.strip())
    assert found.is_relative_to(installed.parent)
    here = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*") if path.is_file()}
    there = {path.relative_to(found) for path in found.rglob("*") if path.is_file()}
    assert here == there


def test_its_documentation_is_read_in_it(installed: Path) -> None:
    listed = json.loads(run(installed, "docs", "-o", "json").stdout)["documents"]
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} | {"readme", "changelog", "contributing"} == {
        row["page"] for row in listed
    }
    assert run(installed, "docs", "install").stdout == (ROOT / "docs" / "install.md").read_text(
        encoding="utf-8"
    )
    assert run(installed, "docs", "readme").stdout == (ROOT / "README.md").read_text(encoding="utf-8")


def test_files_beside_the_modules_travel_too(installed: Path) -> None:
    (package,) = installed.parent.glob("lib/python*/site-packages/samaops")
    ours = {path.relative_to(ROOT / "samaops") for path in (ROOT / "samaops").rglob("*") if _is_data(path)}
    theirs = {path.relative_to(package) for path in package.rglob("*") if _is_data(path)}
    assert ours <= theirs


def _is_data(path: Path) -> bool:
    return (
        path.is_file()
        and path.suffix not in (".py", ".pyc", ".mo", ".po")
        and "__pycache__" not in path.parts
    )
