"""Who says yes to what: the rules that no flag gets round."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from samaops.cli import consent as asking
from samaops.cli.consent import Consent
from samaops.errors import RefusedError
from samaops.i18n import use_language
from samaops.model.plan import Plan, Risk
from tests.unit.changes.scripted import plan, step

LOSING = plan(step("a"), step("b", Risk.DESTRUCTIVE))
HARMLESS = plan(step("a"), step("b", Risk.DISRUPTIVE))


class Person:
    """Somebody at a terminal, or nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, is_there: bool, answer: str = "") -> None:
        """Give the answers one after the other, with | between them."""
        for stream in ("stdin", "stderr"):
            monkeypatch.setattr(f"sys.{stream}.isatty", lambda: is_there, raising=False)
        self.asked: list[str] = []
        self.shown = 0

        answers = iter(answer.split("|"))

        def ask(question: str) -> str:
            self.asked.append(question)
            return next(answers).strip()

        monkeypatch.setattr(asking, "ask", ask)

    def show(self) -> None:
        self.shown += 1


def is_agreed(person: Person, wanted: Plan, consent: Consent) -> bool:
    try:
        asking.obtain(wanted, consent, person.show)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(
    ("wanted", "consent", "expected"),
    [
        (HARMLESS, Consent(yes=True), True),
        (HARMLESS, Consent(name="all"), True),
        (HARMLESS, Consent(name="al"), False),
        (HARMLESS, Consent(yes=True, name="al"), False),
        (HARMLESS, Consent(name=""), False),
        (LOSING, Consent(name="all"), True),
        (LOSING, Consent(name="ALL"), False),
        (LOSING, Consent(yes=True, name="al"), False),
    ],
)
def test_flags_decide_alike_with_and_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, is_there: bool, wanted: Plan, consent: Consent, expected: bool
) -> None:
    person = Person(monkeypatch, is_there)
    assert is_agreed(person, wanted, consent) is expected
    assert person.asked == []


def test_yes_never_covers_what_loses_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_agreed(Person(monkeypatch, is_there=False), LOSING, Consent(yes=True))
    person = Person(monkeypatch, is_there=True, answer="y")
    assert not is_agreed(person, LOSING, Consent(yes=True))
    assert person.shown == 1
    assert "'all'" in person.asked[0]


@pytest.mark.parametrize(("answer", "expected"), [("all", True), ("y", False), ("", False), ("al", False)])
def test_what_loses_data_needs_the_name_typed(
    monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool
) -> None:
    assert is_agreed(Person(monkeypatch, is_there=True, answer=answer), LOSING, Consent()) is expected


@pytest.fixture
def french() -> Iterator[None]:
    use_language("fr")
    yield
    use_language("en")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("o", True),
        ("oui", True),
        ("OUI ", True),
        ("y", True),
        ("yes", True),
        ("n", False),
        ("non", False),
        ("", False),
    ],
)
def test_a_french_speaker_is_asked_in_french(
    monkeypatch: pytest.MonkeyPatch, french: None, answer: str, expected: bool
) -> None:
    person = Person(monkeypatch, is_there=True, answer=answer)
    assert is_agreed(person, HARMLESS, Consent()) is expected
    assert person.asked == ["Le faire ? [o/N]"]


@pytest.mark.parametrize(("answer", "expected"), [("y", True), ("Yes", True), ("n", False), ("", False)])
def test_what_loses_nothing_needs_a_yes(monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool) -> None:
    person = Person(monkeypatch, is_there=True, answer=answer)
    assert is_agreed(person, HARMLESS, Consent()) is expected
    assert person.asked == ["Do this? [y/N]"]


def test_what_is_neither_yes_nor_no_is_asked_again_in_the_user_s_language(
    monkeypatch: pytest.MonkeyPatch, french: None, capsys: pytest.CaptureFixture[str]
) -> None:
    person = Person(monkeypatch, is_there=True, answer="peut-être|o")
    assert is_agreed(person, HARMLESS, Consent())
    assert len(person.asked) == 2
    assert capsys.readouterr().err == "Répondez o ou n\n"


def test_the_french_yes_is_none_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, is_there=True, answer="oui|n")
    assert not is_agreed(person, HARMLESS, Consent())
    assert len(person.asked) == 2


@pytest.mark.parametrize("wanted", [HARMLESS, LOSING])
def test_without_a_terminal_nobody_is_asked_and_nothing_is_agreed(
    monkeypatch: pytest.MonkeyPatch, wanted: Plan
) -> None:
    person = Person(monkeypatch, is_there=False, answer="all")
    assert not is_agreed(person, wanted, Consent())
    assert (person.asked, person.shown) == ([], 0)


def test_the_name_that_confirms_is_shown_as_one_word_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    Person(monkeypatch, is_there=False)
    wanted = replace(LOSING, target="x; touch y")
    with pytest.raises(RefusedError) as refused:
        asking.obtain(wanted, Consent(), lambda: None)
    assert "--confirm 'x; touch y' " in refused.value.hint


def test_a_plan_is_as_risky_as_its_riskiest_step() -> None:
    assert (plan().risk, HARMLESS.risk, LOSING.risk) == (Risk.SAFE, Risk.DISRUPTIVE, Risk.DESTRUCTIVE)
