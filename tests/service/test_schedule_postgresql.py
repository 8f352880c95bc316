"""The ledger in a real PostgreSQL: two machines share it, one of them begins each run, by the database's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from threading import Barrier, Thread

import psycopg
import pytest

from samaops.facts.schedule import LEASE_SECONDS, RUNNING, Pause, Run
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.ledger import Ledger
from samaops.journal.owner import Owner
from tests.service.postgres_server import PostgresServer, postgres_server
from tests.service.test_history_postgresql import url_of

__all__ = ["postgres_server"]
pytestmark = pytest.mark.service
NOW = datetime(2026, 6, 1, 6, tzinfo=timezone.utc)
ONE, TWO = Owner("ops", "one", 1, "boot/1", ""), Owner("ops", "two", 2, "boot/2", "")


@pytest.fixture
def ledgers(postgres_server: PostgresServer) -> Iterator[tuple[Ledger, Ledger]]:
    journals = [Journal(url_of(postgres_server.port), "dakar") for _machine in range(2)]
    one, two = (Ledger(journal, "dakar") for journal in journals)
    assert one.is_shared
    yield one, two
    for journal in journals:
        journal.close()
    postgres_server.run("DROP TABLE samaops_events, samaops_runs, samaops_schedule")


def test_two_machines_lead_one_after_the_other(
    ledgers: tuple[Ledger, Ledger], postgres_server: PostgresServer
) -> None:
    one, two = ledgers
    # Their own clocks are a day apart: that of the database is taken.
    first = one.lead(ONE, NOW)
    assert first is not None
    assert two.lead(TWO, NOW + timedelta(days=1)) is None
    assert abs((first.until - datetime.now(timezone.utc)).total_seconds() - LEASE_SECONDS) < 20
    postgres_server.run(
        "UPDATE samaops_schedule SET until = '2026-01-01T00:00:00.000+00:00' WHERE name = 'leader'"
    )
    second = two.lead(TWO, NOW)
    assert second is not None
    assert (first.epoch, second.epoch) == (1, 2)
    frozen = one.claim(Run("daily", NOW, RUNNING, host="one", epoch=first.epoch))
    assert (frozen.run, frozen.has_lost_lead) == (None, True)
    begun = two.claim(Run("daily", NOW, RUNNING, host="two", epoch=second.epoch))
    assert begun.run is not None
    assert one.lead(ONE, NOW) is None
    two.resign(second, NOW)
    third = one.lead(ONE, NOW)
    assert third is not None
    assert third.epoch == 3
    assert one.claim(Run("daily", NOW, RUNNING, host="one", epoch=3)).run is None, "that moment has its row"


def test_of_many_that_claim_one_moment_one_gets_it(ledgers: tuple[Ledger, Ledger]) -> None:
    leader = ledgers[0].lead(ONE, NOW)
    assert leader is not None
    epoch, won, together = leader.epoch, [], Barrier(8)

    def claim(number: int) -> None:
        together.wait(20)
        for minute in range(20):
            run = Run("daily", NOW + timedelta(minutes=minute), RUNNING, host=str(number), epoch=epoch)
            claimed = ledgers[number % 2].claim(run).run
            if claimed is not None:
                won.append(claimed.planned_at)

    threads = [Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won) == [NOW + timedelta(minutes=minute) for minute in range(20)]


def test_what_one_machine_pauses_the_other_one_knows(ledgers: tuple[Ledger, Ledger]) -> None:
    one, two = ledgers
    pause = Pause("daily", NOW + timedelta(hours=2), "a migration", "awa", NOW)
    one.pause(pause)
    assert two.pauses() == (pause,)
    two.resume("daily")
    assert one.pauses() == ()


def test_a_ledger_that_nobody_made_is_empty_and_one_that_is_not_there_says_so(
    postgres_server: PostgresServer,
) -> None:
    journal = Journal(url_of(postgres_server.port), "dakar")
    ledger = Ledger(journal, "dakar")
    assert (ledger.leader(), ledger.last("daily", 5), ledger.pauses()) == (None, (), ())
    with psycopg.connect(url_of(postgres_server.port).replace("+psycopg", "")) as connection:
        made = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'samaops%'").fetchone()
    assert made == (0,), "who only looks makes nothing"
    journal.close()
    lost = Journal(url_of(1), "dakar")
    with pytest.raises(HistoryError):
        Ledger(lost, "dakar").leader()
    lost.close()
