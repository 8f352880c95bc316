"""From people's words, in both languages, to the playbook; and every way through the questions ends in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.config import playbooks
from samaops.config.settings import Playbooks, Settings
from samaops.site.site import Site
from samaops.workflows.troubleshooting import symptoms, troubleshoot
from samaops.workflows.troubleshooting.symptoms import ALL, FIRST, QUESTIONS

SITE = Site(Settings())


@pytest.mark.parametrize(
    ("words", "playbook"),
    [
        ("api-down", "api-down"),
        ("502 Bad Gateway", "api-down"),
        ("l'API ne répond plus", "api-down"),
        ("l'appli est injoignable", "api-down"),
        ("customers cannot log in, the application crashes", "api-down"),
        ("les notifications n'arrivent pas", "notifications"),
        ("no push on phones since this morning", "notifications"),
        ("La base de données est très lente", "db-slow"),
        ("queries take too long, locks everywhere", "db-slow"),
    ],
)
def test_words_lead_to_the_playbook(words: str, playbook: str) -> None:
    assert symptoms.matching(words, SITE) == (playbook,)


def test_words_that_say_nothing_lead_nowhere_and_one_that_may_be_two_says_so() -> None:
    assert symptoms.matching("il pleut", SITE) == ()
    assert symptoms.matching("", SITE) == ()
    assert symptoms.matching("api workers down broker", SITE) != ()


def test_words_of_a_site_s_own_playbook_lead_to_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("id: own\ntitle: The billing relay sleeps\n")
    site = Site(Settings(playbooks=Playbooks(path=tmp_path)))
    assert symptoms.matching("the billing relay is silent", site) == ("own",)


def test_every_answer_leads_to_a_playbook_and_no_way_is_a_circle() -> None:
    known = {*playbooks.all_of(Settings()), ALL}

    def follow(place: str, seen: tuple[str, ...]) -> None:
        assert place not in seen
        if place not in QUESTIONS:
            assert place in known
            return
        for answer in QUESTIONS[place].answers:
            follow(symptoms.led_to(answer, SITE), (*seen, place))

    follow(FIRST, ())


def test_all_has_every_cause_and_every_fix() -> None:
    known = playbooks.all_of(Settings())
    whole = playbooks.whole(troubleshoot.find(SITE, ALL), known)
    assert whole.causes.keys() == {cause for playbook in known.values() for cause in playbook.causes}
    assert whole.fixes.keys() == {fix for playbook in known.values() for fix in playbook.fixes}
    assert (whole.looks, whole.hops) == ((), ())


def test_what_a_playbook_includes_comes_after_its_own() -> None:
    known = playbooks.all_of(Settings())
    whole = playbooks.whole(known["api-down"], known)
    assert whole.causes["container-oom-killed"].fixes[0] == "docker.set_limit"
    assert "pool.resume" in whole.causes["pgbouncer-paused"].fixes
    assert next(iter(whole.causes)) == "api-down"
    assert set(known["db-slow"].fixes) < set(whole.fixes)
    assert playbooks.whole(known["notifications"], known) == known["notifications"]
