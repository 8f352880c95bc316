"""`samaops troubleshoot notifications --canary` where nothing is sent: the exit code and the reason of each refusal."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Samaops, redis_at

CELERY = '[celery]\ncanary_task = "samaops_canary"\n'
BROKER = '[rabbitmq]\nhost = "127.0.0.1"\nmanagement_port = 1\npassword = "x"\n'
REDIS = redis_at(("127.0.0.1", 1))
WHOLE = BROKER + REDIS + CELERY
CANARY = ("troubleshoot", "notifications", "--canary", "--yes")


@pytest.mark.parametrize(
    ("config", "words", "code", "said"),
    [
        (WHOLE, ("--apply", "workers.restart"), 64, "do not go together"),
        (WHOLE, ("--queue", "urgnt"), 64, "did you mean urgent?"),
        (WHOLE, ("--wait", "-1"), 64, "not between 0 and 3600"),
        (BROKER + REDIS, (), 64, "no other task is ever used"),
        (BROKER + CELERY, (), 64, "[redis] is not configured"),
        (REDIS + CELERY, (), 64, "[rabbitmq] is not configured"),
        (WHOLE, (), 69, "Could not look at the broker"),
        (WHOLE, ("--dry-run",), 69, "Could not look at the broker"),
        (BROKER + '[celery]\ncanary_task = "send_urgent_notification"\n', (), 78, 'the word "canary"'),
    ],
)
def test_nothing_is_sent_and_the_reason_is_said(
    samaops: Samaops, config: str, words: tuple[str, ...], code: int, said: str
) -> None:
    done = samaops("--config", samaops.configure(config), *CANARY, *words)
    assert (done.code, done.stdout) == (code, ""), done
    assert said in done.stderr


def test_the_reason_is_one_document_for_programs(samaops: Samaops) -> None:
    done = samaops("--config", samaops.configure(WHOLE), *CANARY, "-o", "json")
    document = done.json()
    assert (done.code, document["errors"][0]["exit_code"], document["actions"]) == (69, 69, [])


@pytest.mark.parametrize("words", [("list", "--canary"), ("notifications", "--queue", "urgent")])
def test_what_has_no_canary_and_a_queue_without_one_are_64(samaops: Samaops, words: tuple[str, ...]) -> None:
    done = samaops("--config", samaops.configure(WHOLE), "troubleshoot", *words)
    assert (done.code, done.stdout) == (64, "")
