"""From what people notice to the playbook: by their own words, or by one question after the other. Nothing is looked at."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from msgspec import Struct

from samaops.config import playbooks
from samaops.config.playbooks import Playbook
from samaops.i18n import N_, _
from samaops.site.site import Site

# What looks at everything, where nobody knows which symptom it is.
ALL = "all"
FIRST = "first"


class Answer(Struct, frozen=True):
    """One answer, and where it leads: to a playbook, or to another question."""

    text: str
    leads_to: str


class Question(Struct, frozen=True):
    """One question. Its texts are marked for translation."""

    text: str
    answers: tuple[Answer, ...]


_LATE = Answer(N_("Only notifications are late, or do not arrive"), "notifications")
QUESTIONS: Mapping[str, Question] = {
    FIRST: Question(
        N_("What do people notice?"),
        (
            Answer(N_("The application does not answer, or shows errors (500, 502, 503)"), "api"),
            _LATE,
            Answer(N_("Everything is slow"), "slow"),
            Answer(N_("A disk is full, or something cannot be written"), "disk-full"),
            Answer(N_("Redis refuses, loses keys, or was ended"), "redis-full"),
            Answer(N_("Something else, or nobody knows"), ALL),
        ),
    ),
    "api": Question(
        N_("Which requests fail?"),
        (
            Answer(N_("All of them, or one in two"), "api-down"),
            Answer(N_("Only those that send a notification"), "api-down"),
            Answer(N_("None fails for good: they take long"), "slow"),
            Answer(N_("Nobody knows"), "api-down"),
        ),
    ),
    "slow": Question(
        N_("What is slow?"),
        (
            Answer(N_("Whatever reads or writes the database"), "db-slow"),
            Answer(N_("Some requests hang for seconds, the others are quick"), "api-down"),
            _LATE,
            Answer(N_("Nobody knows"), "db-slow"),
        ),
    ),
}
# Words of each symptom, without accents, and how much they say. What one symptom has alone says most.
_WORDS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "api-down": (
        (r"\b50[0234]\b|bad gateway|gateway time|service unavailable|internal server error", 4),
        (r"\bapis?\b|\bf5\b|load ?balancer|repartiteur|virtual address|adresse virtuelle|\bvip\b", 4),
        (
            r"does ?n.t (answer|respond)|not (answering|responding)|unreachable|ne repond(ent)? (pas|plus)|injoignable",
            3,
        ),
        (r"\bdown\b|en panne|inaccessible|crash|log ?in|connexion impossible|plante", 2),
        (r"application|appli\b|\bsite\b|errors?\b|erreurs?\b|time-?outs?|requests?|requetes? http", 1),
    ),
    "notifications": (
        (r"notif|\bpush\b|\bfcm\b|firebase|celery|workers?\b|flower", 5),
        (r"\bqueues?\b|files? d.attente|rabbit|broker|telephones?|phones?\b|alerts? (do|are)", 2),
        (r"not (sent|arriv|received)|n.arriv|pas (envoye|recu)|messages?", 1),
    ),
    "db-slow": (
        (r"\bslow|\blent|\blenteur|takes? (too )?long|trop long|\brame|latenc", 4),
        (r"database|base de donnees|\bbase\b|postgres|pgbouncer|\bsql\b|\bquer(y|ies)\b|requetes? sql", 3),
        (r"\block(s|ed)?\b|verrou|deadlock|vacuum|\bpool\b", 3),
    ),
    "disk-full": (
        (
            r"\bdis(k|c|que)s?\b|no space|plus d.espace|enospc|espace disque|inodes?|lecture seule|read-only",
            6,
        ),
        (r"\bfull\b|\bpleine?s?\b|sature|\bspace\b|\bespace\b|\bdf\b", 2),
    ),
    "redis-full": (
        (r"redis|maxmemory|evict|misconf|oom command", 7),
        (r"\bcache\b|\bkeys?\b|\bcles?\b", 2),
        (r"memory|memoire|\bfull\b|\bpleine?\b", 1),
    ),
}
_LONG_WORD = re.compile(r"\w{4,}")


def all_of_them() -> Playbook:
    """Return the playbook of no single symptom: it looks at everything, and has every cause and every fix."""
    title = _("Everything: what diagnose says, and the fixes")
    return Playbook.model_validate({"id": ALL, "title": title, "includes": ("*",)})


def matching(words: str, site: Site) -> tuple[str, ...]:
    """Return the playbooks that people's own words speak of: one, several that they may mean, or none."""
    text = _plain(words)
    known = playbooks.all_of(site.settings)
    if text.strip() in known:
        return (text.strip(),)
    scores = {name: _score(text, name, playbook) for name, playbook in known.items()}
    most = max(scores.values(), default=0)
    return tuple(name for name, score in scores.items() if score == most) if most else ()


def _score(text: str, name: str, playbook: Playbook) -> int:
    own = _WORDS.get(name)
    if own is None:  # a site's: the words of its title
        return sum(2 for word in set(_LONG_WORD.findall(_plain(str(playbook.title or "")))) if word in text)
    return sum(weight for pattern, weight in own if re.search(pattern, text))


def _plain(words: str) -> str:
    decomposed = unicodedata.normalize("NFKD", words.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def led_to(answer: Answer, site: Site) -> str:
    """Return the question or the playbook that comes after an answer; all of it where there is no such playbook."""
    is_there = answer.leads_to in QUESTIONS or answer.leads_to in playbooks.all_of(site.settings)
    return answer.leads_to if is_there else ALL
