"""The documentation that travels with samaops: its pages, one of them, and all of them as a static site."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from samaops import resources
from samaops.errors import RefusedError, SamaopsError, UnavailableError, UsageError, reason_of
from samaops.i18n import _
from samaops.model.table import Column, Table

# In a directory that a site was built in: it may be built there again.
_MARK = ".samaops-docs"
_BUILD_SECONDS = 120
_FIRST = "readme"
# What a link says before the name of a page, seen from the README or from a page in docs/.
_LINK = re.compile(r"\]\((?:\./|\.\./|docs/)?([\w.-]+)\.md(#[\w-]*)?\)")
# What a link leads to that is no page of the site.
_OUTSIDE = re.compile(r"\[([^]]+)\]\((?:\./|\.\./)?(?:config\.example\.toml)\)")


class Page(Struct, frozen=True):
    """One page: its name, which people type, its title, and its text, which is Markdown."""

    name: str
    title: str
    text: str


class BuildError(SamaopsError):
    """The static site could not be built."""

    exit_code = 2


def pages() -> tuple[Page, ...]:
    """Return every page, the one to begin with first. Raises UnavailableError where this installation lacks them."""
    return tuple(map(_page, resources.documentation()))


def _page(path: Path) -> Page:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"{path}: {reason_of(error)}") from error
    title = next((line[2:] for line in text.splitlines() if line.startswith("# ")), path.stem)
    return Page(path.stem.lower(), title.replace("`", ""), text)


def page(name: str) -> Page:
    """Return one page. Raises UsageError when there is none of this name."""
    known = {found.name: found for found in pages()}
    wanted = name.lower().removesuffix(".md").removeprefix("docs/")
    if wanted in known:
        return known[wanted]
    matches = get_close_matches(wanted, known, n=1)
    raise UsageError(
        _("There is no page {name!r}").format(name=name),
        hint=f"samaops docs {matches[0]}" if matches else "samaops docs",
    )


def table() -> Table:
    """Return the list of the pages."""
    rows = tuple(
        {"page": found.name, "title": found.title, "lines": found.text.count("\n")} for found in pages()
    )
    columns = (
        Column("page", _("page"), is_copied=True),
        Column("title", _("about")),
        Column("lines", _("lines"), is_number=True),
    )
    return Table(
        "documents", columns, rows, _("There is no page"), commands=("samaops docs install", "man samaops")
    )


def build(directory: Path) -> Path:
    """Build all pages as a static site, which needs no server; return its first page.

    Raises UnavailableError without mkdocs, RefusedError where the directory has other things, BuildError.
    """
    if find_spec("mkdocs") is None:
        raise UnavailableError(
            _("a static site needs one more library ({name} is not installed)").format(name="mkdocs"),
            hint="pip install 'samaops[docs]'",
        )
    target = directory.absolute()
    try:
        if target.exists() and not (target / _MARK).exists() and any(target.iterdir()):
            raise RefusedError(
                _("{path} holds other things, which would be removed; nothing was written").format(
                    path=directory
                )
            )
        target.mkdir(parents=True, exist_ok=True)
        (target / _MARK).touch()
        with tempfile.TemporaryDirectory() as name:
            _write_sources(Path(name))
            _run(Path(name), target)
    except OSError as error:
        raise BuildError(f"{directory}: {reason_of(error)}") from error
    return directory / "index.html"


def _write_sources(place: Path) -> None:
    (place / "docs").mkdir()
    listed = []
    for found in pages():
        file = f"{_file_of(found.name)}.md"
        (place / "docs" / file).write_text(_linked(found.text), encoding="utf-8")
        listed.append({found.title: file})
    for schema in resources.directory("docs").glob("*.json"):
        shutil.copyfile(schema, place / "docs" / schema.name)
    settings = {
        "site_name": "samaops",
        "docs_dir": str(place / "docs"),
        # Nothing of it is asked of another machine, and it is read from a disk too.
        "theme": {"name": "mkdocs", "highlightjs": False},
        "use_directory_urls": False,
        "nav": listed,
        "plugins": ["search"],
    }
    (place / "mkdocs.yml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML


def _run(place: Path, target: Path) -> None:
    words = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet")
    command = (*words, "--config-file", str(place / "mkdocs.yml"), "--site-dir", str(target))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BuildError(_("mkdocs did not end within {seconds} s").format(seconds=_BUILD_SECONDS)) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [""]
        raise BuildError(_("mkdocs says: {words}").format(words=lines[-1]))


def _file_of(name: str) -> str:
    return "index" if name == _FIRST else name


def _linked(text: str) -> str:
    """Return a page with links to the other pages as they lie in the site, all in one directory."""
    text = _OUTSIDE.sub(r"`\1`", text)
    text = re.sub(r"\]\(docs/([\w.-]+\.json)\)", r"](\1)", text)
    return _LINK.sub(lambda link: f"]({_file_of(link[1].lower())}.md{link[2] or ''})", text)
