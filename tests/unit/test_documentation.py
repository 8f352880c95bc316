"""The documentation as samaops shows it, and as a site."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from samaops.cli.main import run
from samaops.errors import REFUSED, UNAVAILABLE, USAGE, RefusedError, UnavailableError
from samaops.workflows import documentation

ROOT = Path(__file__).parents[2]
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
