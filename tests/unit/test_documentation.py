"""The documentation as samaops shows it, and as a site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest

from samaops.cli.app import command
from samaops.cli.main import run
from samaops.errors import REFUSED, UNAVAILABLE, USAGE, RefusedError, UnavailableError, UsageError
from samaops.workflows import documentation

ROOT = Path(__file__).parents[2]
EVERYWHERE = frozenset(("--lab", "--quiet", "--verbose", "-q", "-v", "--help", "--version"))
WITH_VALUE = ("--config", "--site", "--lang")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def test_every_page_is_listed_the_first_one_first() -> None:
    names = [page.name for page in documentation.pages()]
    assert names[0] == "readme"
    assert sorted(names[1:-2]) == sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    assert all(page.title != page.name for page in documentation.pages())


def test_a_page_is_printed_as_it_is_written(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    for name in ("install", "docs/install.md", "INSTALL"):
        assert run(["docs", name]) == 0
        assert capsysbinary.readouterr().out == (ROOT / "docs/install.md").read_bytes()


def test_a_page_that_is_not_there_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docs", "instal"]) == USAGE
    assert "samaops docs install" in capsys.readouterr().err


def test_every_link_of_a_page_leads_to_something() -> None:
    pages = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")}
    missing = [
        f"{page.name}: {link}"
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not urlsplit(link).scheme and not (page.parent / link).exists()
    ]
    assert missing == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    directory = tmp_path_factory.mktemp("docs") / "site"
    documentation.build(directory)
    return directory


def test_the_site_has_every_page_and_asks_no_other_machine(site: Path) -> None:
    for page in documentation.pages():
        written = site / ("index.html" if page.name == "readme" else f"{page.name}.html")
        text = written.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"([^\"]+)\"", text)
        assert loaded
        assert [address for address in loaded if urlsplit(address).netloc] == []


def test_its_links_lead_to_its_own_pages(site: Path) -> None:
    for page in site.glob("*.html"):
        for link in re.findall(r'href="([^"#]+)', page.read_text(encoding="utf-8")):
            if not urlsplit(link).scheme and page.name != "404.html":
                assert (site / urlsplit(link).path).exists(), (page.name, link)


def test_it_is_built_again_in_its_own_place_and_never_over_other_things(site: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(RefusedError) as caught:
        documentation.build(tmp_path)
    assert caught.value.exit_code == REFUSED
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (site / "index.html").unlink()
    documentation.build(site)
    assert (site / "index.html").exists()


def test_without_its_library_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documentation, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="mkdocs is not installed") as caught:
        documentation.build(tmp_path / "site")
    assert (caught.value.exit_code, caught.value.hint) == (UNAVAILABLE, "pip install 'samaops[docs]'")
    assert not (tmp_path / "site").exists()


def typed_in(text: str) -> Iterator[str]:
    """Yield each command line of samaops in a page, in its code, without the brackets of what may be left out."""
    code = [line for block in re.findall(r"```\w*\n(.*?)```", text, re.S) for line in block.splitlines()]
    for line in (*code, *re.findall(r"`([^`\n]+)`", text)):
        if found := re.match(r"(?:\$ |sudo )?samaops ((?:--?)?[a-z].*)", line.strip()):
            yield re.split(r"   +|\s#|…|[;|&]|\\", re.sub(r"[][]", " ", found[1]))[0]


@cache
def inner(words: tuple[str, ...]) -> Any:
    """Return the command of these words. Raises UsageError, click.UsageError."""
    if not words:
        return command()
    outer = inner(words[:-1])
    return outer.resolve_command(click.Context(outer), [words[-1]])[1]


def unknown_in(line: str) -> str:
    """Return the word of a command line that names no command and no option, "" where all do."""
    path: tuple[str, ...] = ()
    options = EVERYWHERE
    words = iter(line.partition(" -- ")[0].split())
    for word in words:
        if word in WITH_VALUE:
            next(words)
        elif word.startswith("-"):
            if word.partition("=")[0] not in options:
                return word
        elif hasattr(inner(path), "resolve_command"):
            try:
                options = EVERYWHERE | {name for each in inner((*path, word)).params for name in each.opts}
            except (UsageError, click.UsageError):
                return word
            path = (*path, word)
    return ""


# The changelog tells what was true once.
PRESENT = [page for page in documentation.pages() if page.name != "changelog"]


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.name)
def test_every_command_of_a_page_exists_with_its_options(page: documentation.Page) -> None:
    unknown = {line: word for line in typed_in(page.text) if (word := unknown_in(line))}
    assert not unknown
