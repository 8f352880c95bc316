"""What stands beside a plan, and why there is none, reads well in French on 80 columns."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import pytest

from samaops.cli import changing, configuration_file, docs, streams
from samaops.cli.troubleshoot import _as_typed
from samaops.collect.docker.evidence import PARTS, words_of
from samaops.errors import ConfigurationError
from samaops.i18n import use_language
from samaops.journal import history
from samaops.journal.history import Event
from samaops.model.plan import Plan
from samaops.render.layout import Screen
from samaops.site.commands import LAB_SITE
from samaops.site.site import Site
from samaops.workflows.history import _moment
from tests.unit.changes.test_plans import SETTINGS

WORDS = "Laissés de côté, car [backup] recipient ne nomme personne pour qui les chiffrer : les fichiers"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def french() -> Iterator[None]:
    use_language("fr")
    yield
    use_language("en")


@pytest.mark.parametrize("width", range(40, 100))
def test_no_line_of_a_refusal_begins_with_a_colon(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((width, 24)))
    lines = streams.folded(WORDS, Terminal(), "  ").splitlines()
    assert not any(line.strip().startswith(":") for line in lines)
    assert " ".join(line.strip() for line in lines) == WORDS


@pytest.mark.parametrize("width", range(40, 100))
def test_no_line_of_a_note_begins_with_a_colon_and_a_command_is_whole(width: int) -> None:
    plan = Plan("v", (), "t", "x", notes=(WORDS, "samaops backup verify --all"))
    stream = io.StringIO()
    changing._print_notes(plan, Screen(file=stream, width=width))
    lines = stream.getvalue().splitlines()
    assert not any(line.strip().startswith(":") for line in lines)
    assert lines[-1] == "  samaops backup verify --all"


@pytest.mark.usefixtures("french")
def test_how_a_change_ended_is_told_in_french() -> None:
    event = Event(1, "2026-01-31T03:00:00+00:00", "x", history.ENDED, None, {"status": "reverted"})
    assert _moment(event, []).text == "terminé : échoué, et annulé"


def test_a_command_in_a_letter_is_for_the_site_that_was_asked_for() -> None:
    lab = Site(SETTINGS.model_copy(update={"site": LAB_SITE}))
    assert _as_typed("  samaops db slow --over 10", lab) == "  samaops --lab db slow --over 10"
    assert _as_typed("  ss -ltnp", lab) == "  ss -ltnp"


@pytest.mark.usefixtures("french")
def test_each_part_of_what_a_container_shows_has_a_french_name() -> None:
    same = {"sockets", "threads"}
    assert {part for part in PARTS if words_of(part) == part} == same
    assert words_of("a part of tomorrow") == "a part of tomorrow"


def test_without_a_configuration_the_next_command_of_whoever_has_a_lab_can_be_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("samaops.config.files.exists", lambda path: True)
    error = configuration_file._or_the_lab(ConfigurationError("There is none"))
    assert error.hint == "samaops --lab diagnose"
    assert error.message.startswith("There is none. Your lab is there")


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "utf-8"), ("ascii", None)])
def test_a_page_is_read_in_french_where_the_locale_is_not_installed(
    encoding: str, charset: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {})
    docs._prepare_pager(encoding)
    assert os.environ.get("LESSCHARSET") == charset
