"""The page of a month by mail: readable without HTML, tables with it, the page attached; a server that refuses is told."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest

from samaops import i18n
from samaops.cli import report_pages
from samaops.config.settings import MailNotification, Notify, Settings
from samaops.model.page import Page
from samaops.site.site import Site
from samaops.workflows.reports import monthly
from tests.service.listeners import mail_server
from tests.unit.reports import months


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    i18n.use_language("en")
    made = monthly.compose(months.SITE, months.report())
    monkeypatch.setattr(monthly, "report", lambda _site: made)
    return made


def site_with(port: int) -> Site:
    mail = MailNotification(host="127.0.0.1", port=port, timeout=5.0)
    return Site(Settings(site="samaconso", notify=Notify(mail=mail)))


def parts_of(mail: Message) -> dict[tuple[str, bool], str]:
    found = {}
    for part in mail.walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found[(part.get_content_type(), part.get_filename() is not None)] = content.decode()
    return found


def test_the_mail_has_text_tables_and_the_page(page: Page, tmp_path: Path) -> None:
    with mail_server() as server:
        assert report_pages.deliver(site_with(server.port)) == ()
    (mail,) = server.mails
    parts = parts_of(mail)
    text, tables = parts[("text/plain", False)], parts[("text/html", False)]
    attached = parts[("text/html", True)]
    assert page.answer.replace("\N{NO-BREAK SPACE}", " ")[:30] in " ".join(text.split())
    assert "█" in text
    assert "<svg" not in tables
    assert "<table" in tables
    assert "<svg" in attached
    written = tmp_path / "samaops" / "reports" / "samaconso-2026-10.html"
    assert written.read_text(encoding="utf-8").split() == attached.split()
    assert written.stat().st_mode & 0o777 == 0o600
    assert max(map(len, text.splitlines())) <= 100


def test_a_server_that_refuses_is_told_and_the_page_is_there(page: Page, tmp_path: Path) -> None:
    with mail_server(refused="ops@senelec.sn") as server:
        (failure,) = report_pages.deliver(site_with(server.port))
    assert "ops@senelec.sn" in failure
    assert (tmp_path / "samaops" / "reports" / "samaconso-2026-10.html").exists()


def test_without_mail_the_page_is_written(page: Page, tmp_path: Path) -> None:
    assert report_pages.deliver(Site(Settings(site="samaconso"))) == ()
    assert (tmp_path / "samaops" / "reports" / "samaconso-2026-10.html").stat().st_size > 10_000
