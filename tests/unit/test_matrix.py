"""The confusion matrix: how what was named is judged, which fixes are made, what is left behind, what is printed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.matrix import pairs, results, snapshot, table, trial
from benchmarks.matrix.commands import Done
from benchmarks.matrix.pairs import PairTrial
from benchmarks.matrix.results import Naming, Results, Trial
from benchmarks.matrix.trial import Look, Named
from samaops.lab.layout import Layout

PAUSED = "pgbouncer-paused@pgbouncer/db"
DOWN = "redis-down@redis/workers"
CLEAN = Trial(
    incident="pgbouncer-paused",
    runbook="api-down",
    expected=PAUSED,
    naming="right",
    named=(PAUSED,),
    verdict_seconds=1.2,
    fix="none yet",
    healed=True,
)


def printed(*trials: Trial) -> str:
    """Return the whole answer for these trials."""
    return "\n".join(table.lines(Results(trials=list(trials))))


@pytest.mark.parametrize(
    ("causes", "naming"),
    [
        ((Named(PAUSED, "confirmed"),), "right"),
        ((Named(PAUSED, "probable"),), "right"),
        ((Named(PAUSED, "inconclusive"),), "inconclusive"),
        ((), "inconclusive"),
        ((Named(DOWN, "confirmed"),), "wrong"),
        ((Named(PAUSED), Named(DOWN)), "wrong"),
        ((Named(DOWN), Named(PAUSED)), "wrong"),
    ],
)
def test_right_is_the_expected_cause_and_no_other(causes: tuple[Named, ...], naming: Naming) -> None:
    assert Look(causes).naming(PAUSED) == naming


def fix(name: str, risk: str, *commands: str, **more: Any) -> dict[str, Any]:
    """Return a fix as the JSON report has it."""
    return {"id": name, "risk": risk, "title": name, "commands": list(commands), "undo": [], **more}


def test_only_verbs_of_samaops_that_change_something_are_made_and_letters_are_known() -> None:
    cause = {
        "id": "redis-down",
        "subject": "redis/workers",
        "fixes": [
            fix("by-hand", "safe", "ssh root@db 'docker start x'"),
            fix("look", "safe", "samaops --lab diagnose --only redis"),
            fix("pool", "safe", "samaops --lab pool settings", "samaops --lab rollback check"),
            fix("purge", "destructive", "samaops --lab queue purge normal"),
            fix("start", "disruptive", "samaops --lab docker restart x", "ssh root@db 'docker restart x'"),
            fix("applied", "safe", "samaops --lab troubleshoot api-down --apply applied"),
            fix(
                "team",
                "safe",
                "samaops --lab troubleshoot notifications --apply team",
                text="To: network team",
            ),
        ],
    }
    report = {"causes": [{**cause, "id": "other"}, cause]}

    found = trial.offered(Done(1.0, 2, json.dumps(report), ""), DOWN)

    assert [(one.id, one.command) for one in found if one.command] == [
        ("start", "samaops --lab docker restart x"),
        ("applied", "samaops --lab troubleshoot api-down --apply applied"),
    ]
    assert [one.id for one in found if one.is_letter] == ["team"]
    assert [one.id for one in found if one.loses_data] == ["purge"]


def test_a_look_has_the_causes_with_their_decisive_status_and_what_is_not_well() -> None:
    report = {
        "findings": [
            {"code": "pgbouncer.pool.paused", "subject": "pgbouncer/db", "status": "warning"},
            {"code": "redis.memory.high", "subject": "redis/workers", "status": "ok"},
        ],
        "causes": [
            {
                "id": "pgbouncer-paused",
                "subject": "pgbouncer/db",
                "verdict": "probable",
                "explains": ["pgbouncer.pool.paused@pgbouncer/db"],
            }
        ],
    }

    seen = trial.look_of(Done(1.0, 1, json.dumps(report), ""))

    assert seen.causes == (Named(PAUSED, "probable", "warning"),)
    assert seen.findings == {"pgbouncer.pool.paused@pgbouncer/db is warning"}
    assert not seen.is_critical(PAUSED)
    assert trial.look_of(Done(9.0, 70, "", "samaops: broken\n")).note == "no report: samaops: broken"


def test_what_is_not_as_before_is_named() -> None:
    before = {"redis/config/maxmemory": "100", "process/worker": "5", "gone": "1"}
    after = {"redis/config/maxmemory": "200", "process/worker": "5", "new": "2"}

    assert snapshot.differences(before, after) == [
        "gone: 1 -> (absent)",
        "new: (absent) -> 2",
        "redis/config/maxmemory: 100 -> 200",
    ]
    assert snapshot.differences(before, before) == []


@pytest.mark.parametrize(
    "flaw",
    [
        {"naming": "wrong"},
        {"naming": "inconclusive"},
        {"naming": "not broken"},
        {"healed": False},
        {"fix": "failed"},
        {"side_effects": ("redis/config/maxmemory: 100 -> 200",)},
    ],
    ids=str,
)
def test_a_trial_with_any_flaw_is_not_clean(flaw: dict[str, Any]) -> None:
    assert CLEAN.is_clean
    assert not replace(CLEAN, **flaw).is_clean


def test_what_cannot_be_broken_in_this_lab_is_no_flaw_and_not_counted() -> None:
    impossible = replace(CLEAN, incident="server-down", naming="not possible", healed=False)

    assert impossible.is_clean
    assert "1 trials of 1 incidents: right first 1 (100 %)" in printed(CLEAN, impossible)
    assert "| `server-down` | not possible here |" in printed(CLEAN, impossible)


def test_the_table_has_each_incident_its_times_and_the_totals() -> None:
    again = replace(
        CLEAN, number=2, verdict_seconds=2.0, fix="verified", fixes=("x.y: verified",), fixed_seconds=9.0
    )
    said = printed(CLEAN, again)

    assert "| `pgbouncer-paused` | 2 of 2 |  |  | 1.2, 2.0 | none yet / `x.y` | -, 9.0 | none |" in said
    assert "2 trials of 1 incidents: right first 2 (100 %), wrong 0, inconclusive 0" in said
    assert "Time to verdict: median 1.6 s, slowest 2.0 s, 2 trials." in said
    assert (
        "Fixes: verified 1, relief 0, failed 0, letter 0 (not in our hands), "
        "not made because they lose data 0, none yet 1 (healed by the lab)." in said
    )
    assert "nothing off the diagonal" in said


def test_only_what_is_off_the_diagonal_is_spelled_out() -> None:
    wrong = replace(CLEAN, number=2, naming="wrong", named=(DOWN,), side_effects=("a: 1 -> 2",), healed=False)
    silent = replace(CLEAN, number=3, naming="inconclusive", named=(), verdict_seconds=None)
    said = printed(CLEAN, wrong, silent)

    assert f"- `pgbouncer-paused` (`{PAUSED}`) was named `{DOWN}`: 1 of 3" in said
    assert f"- `pgbouncer-paused` (`{PAUSED}`) was named nothing: 1 of 3" in said
    assert "| `pgbouncer-paused` | 1 of 3 | 1 | 1 |" in said
    assert "- `pgbouncer-paused` 2: a: 1 -> 2" in said
    assert "- `pgbouncer-paused` 2: not healed" in said


def test_raw_figures_come_back_as_they_were_kept(tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    kept = results.fresh("containers")
    kept.trials.append(replace(CLEAN, fixes=("x.y: verified",)))
    results.write(path, kept)

    found = results.read(path)

    assert found.trials == kept.trials
    assert found.about == kept.about
    assert found.has("pgbouncer-paused", 1)
    assert not found.has("pgbouncer-paused", 2)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    path.write_text(json.dumps({"schema": "samaops/report/1"}), encoding="utf-8")

    with pytest.raises(ValueError, match=r"raw\.json is not a file of samaops/incident-matrix/1"):
        results.read(path)


class Answers:
    """Stands for samaops: gives the answers that a test wants, in turns, and keeps what was asked."""

    def __init__(self, *answers: Done) -> None:
        self.left = list(answers)
        self.asked: list[str] = []

    def report(self, *words: str, limit_seconds: float) -> Done:
        return self._next(*words)

    def as_printed(self, command: str, *words: str, limit_seconds: float) -> Done:
        return self._next(command, *words)

    def _next(self, *words: str) -> Done:
        self.asked.append(" ".join(words))
        return self.left.pop(0)


def answered(exit_code: int, **document: Any) -> Done:
    """Return how a command ended that answers with a document."""
    return Done(0.1, exit_code, json.dumps(document), "samaops: refused" if exit_code == 77 else "")


def diagnosis(status: str | None, *fixes: dict[str, Any]) -> Done:
    """Return a diagnosis that names the expected cause with this decisive status, or nothing."""
    findings = [{"code": "pgbouncer.pool.paused", "subject": "pgbouncer/db", "status": status}]
    cause = {
        "id": "pgbouncer-paused",
        "subject": "pgbouncer/db",
        "verdict": "confirmed",
        "explains": ["pgbouncer.pool.paused@pgbouncer/db"],
        "fixes": list(fixes),
    }
    return answered(2, findings=findings, causes=[cause]) if status else answered(0, findings=[], causes=[])


def repaired(samaops: Answers) -> tuple[Trial, tuple[str, ...]]:
    """Return what came of the fixes that are offered for the paused pool."""
    bench = trial.Bench(samaops, Layout(Path("unused")), lambda _text: None)  # type: ignore[arg-type]
    return trial._repaired(bench, replace(CLEAN, fix=""), time.monotonic())


RESUME = fix("resume", "safe", "samaops --lab pool resume", undo=["samaops --lab undo ID"])
RESTART = fix("restart", "disruptive", "samaops --lab docker restart x")
LETTER = fix("team", "safe", text="To: system team")
MADE = answered(0, actions=[{"journal": "7", "status": "verified"}])


def test_the_first_fix_that_works_is_verified_by_a_diagnosis_without_the_cause() -> None:
    samaops = Answers(diagnosis("critical", RESUME, RESTART), MADE, diagnosis(None))

    found, reliefs = repaired(samaops)

    assert (found.fix, found.fixes, reliefs) == ("verified", ("resume: verified",), ())
    assert found.fixed_seconds is not None
    resume = "samaops --lab pool resume --yes -o json"
    assert samaops.asked == ["troubleshoot api-down", resume, "diagnose"]


def test_where_the_playbook_offers_nothing_a_diagnosis_is_asked() -> None:
    samaops = Answers(diagnosis("critical"), diagnosis("critical", RESUME), MADE, diagnosis(None))

    assert repaired(samaops)[0].fixes == ("resume: verified",)
    assert samaops.asked[:2] == ["troubleshoot api-down", "diagnose"]


def test_a_fix_that_leaves_a_warning_is_made() -> None:
    made = answered(1, actions=[{"journal": "7", "status": "verified"}])
    found, _reliefs = repaired(Answers(diagnosis("critical", RESTART), made, diagnosis("warning")))
    assert found.fixes == ("restart: verified, a warning is left",)
    half = answered(1, actions=[{"journal": "7", "status": "rolled_back"}])
    found, _reliefs = repaired(Answers(diagnosis("critical", RESTART), half))
    assert found.fix == "failed"


def test_a_fix_that_is_refused_or_fails_is_followed_by_the_next() -> None:
    samaops = Answers(
        diagnosis("critical", RESUME, RESTART, RESUME),
        answered(77),
        answered(2, errors=[{"message": "had no effect"}]),
        MADE,
        diagnosis(None),
    )

    found, _reliefs = repaired(samaops)

    assert found.fixes == (
        "resume: refused, samaops: refused",
        "restart: failed (exit code 2), had no effect",
        "resume: verified",
    )


def test_what_only_gives_time_is_a_relief_and_is_to_be_taken_back() -> None:
    eased = (MADE, diagnosis("warning"))

    found, reliefs = repaired(Answers(diagnosis("critical", RESUME), *eased))
    assert (found.fix, reliefs) == ("relief", ("7",))

    found, reliefs = repaired(Answers(diagnosis("critical", {**RESUME, "undo": []}), *eased))
    assert (found.fix, found.fixes, reliefs) == ("verified", ("resume: verified, a warning is left",), ())


def test_what_is_only_set_aside_is_a_fix_and_is_to_be_put_back() -> None:
    park = fix("queue.park", "disruptive", "samaops --lab queue park normal")

    found, put_back = repaired(Answers(diagnosis("critical", park), MADE, diagnosis(None)))

    assert (found.fix, put_back) == ("verified", ("7",))


def test_a_fix_after_which_the_cause_is_still_there_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "EFFECT_SECONDS", 0.0)

    found, _reliefs = repaired(Answers(diagnosis("critical", RESUME), MADE, diagnosis("critical")))

    assert (found.fix, found.fixes) == ("failed", ("resume: done, and the cause is still there",))
    assert found.fixed_seconds is None


def test_what_is_not_in_our_hands_is_a_letter_and_what_has_no_verb_is_none_yet() -> None:
    found, _reliefs = repaired(Answers(diagnosis("critical", LETTER)))
    assert (found.fix, found.fixes) == ("letter", ("team: letter",))

    by_hand = diagnosis("critical", fix("by-hand", "safe", "psql -c RESUME"))
    found, _reliefs = repaired(Answers(by_hand, by_hand))
    assert (found.fix, found.fixes) == ("none yet", ())


def test_what_loses_data_is_told_and_never_made() -> None:
    purge = fix("purge", "destructive", "samaops --lab queue purge normal")
    found, _reliefs = repaired(Answers(diagnosis("critical", purge), diagnosis("critical", purge)))
    assert (found.fix, found.fixes) == ("loses data", ("purge: loses data",))

    found, _reliefs = repaired(Answers(diagnosis("critical", purge, RESUME), MADE, diagnosis(None)))
    assert (found.fix, found.fixes) == ("verified", ("resume: verified",))


def test_pairs_are_sampled_the_same_for_the_same_seed_and_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    assert pairs.sample(20, 1) == pairs.sample(20, 1)
    assert pairs.sample(20, 1) != pairs.sample(20, 2)
    assert all(not pair.reason for pair in pairs.sample(1000, 1))
    right = PairTrial("lock-chain", "disk-filled", "right", looks=1, total_seconds=31.0)
    wrong = PairTrial(
        "api-hung", "proxy-down", "wrong", both=("api-hung@api/api_1",), notes=("heal: no answer",)
    )
    pairs.write(tmp_path / "pairs.json", [right, wrong])
    assert pairs.read(tmp_path / "pairs.json") == [right, wrong]
    text = "\n".join(pairs.lines([right, wrong]))
    assert "right 1 (1 at the first look), wrong 1" in text
    assert "`api-hung+proxy-down`: wrong; both live: `api-hung@api/api_1`; one left: nothing" in text
