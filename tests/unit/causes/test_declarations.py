"""What the causes declare agrees with the checks, with what they find in the cases, and with the printed graph."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from samaops.causes.effects import Effect, Effects, OfSite
from samaops.causes.graph import DECLARATIONS
from samaops.causes.root import Declaration
from samaops.causes.unknown import UNKNOWN_FAULT
from samaops.causes.view import View
from samaops.checks.registry import rules
from samaops.config import playbooks
from samaops.config.settings import Settings
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import causal_graph
from tests.unit.causes.test_roots import CASES, findings_of, settings

CODES = [rule.code for rule in rules()]


def name_of(declared: Declaration) -> str:
    return f"{declared.ids[0]}:{declared.on.triggers[0].pattern}"


def effects_of(declared: Declaration) -> Effects:
    return declared.effects.shown if isinstance(declared.effects, OfSite) else declared.effects


@pytest.mark.parametrize("declared", DECLARATIONS, ids=name_of)
def test_what_a_cause_names_is_found_by_some_check(declared: Declaration) -> None:
    patterns = [trigger.pattern for trigger in declared.on.triggers]
    patterns += [effect.pattern for effect in effects_of(declared)]
    assert [one for one in patterns if not any(fnmatchcase(code, one) for code in CODES)] == []


def test_a_cause_finds_no_other_name_and_no_other_effect_than_it_declares() -> None:
    site = Site(settings())
    for path in CASES:
        view = View(findings_of(json.loads(path.read_text(encoding="utf-8"))), site)
        for declared in DECLARATIONS:
            shown = {effect.pattern for effect in effects_of(declared)}
            for candidate in declared.candidates(view):
                assert candidate.id in declared.ids, path.stem
                assert {effect.pattern for effect in candidate.effects} <= shown, (path.stem, candidate.id)


def test_the_nearest_to_the_ground_is_asked_first() -> None:
    ranks = [declared.rank for declared in DECLARATIONS]
    assert ranks == sorted(ranks)


def test_every_cause_of_a_playbook_is_declared() -> None:
    named = {cause for playbook in playbooks.all_of(Settings()).values() for cause in playbook.causes}
    assert named
    assert named <= set(causal_graph.causes())


def test_what_a_cause_is_told_apart_from_is_declared() -> None:
    others = {other for declared in DECLARATIONS for other in declared.distinguished_from}
    assert others <= set(causal_graph.causes())


def test_each_two_look_alikes_have_a_case_that_tells_them_apart() -> None:
    declared = {
        (cause, other)
        for declaration in DECLARATIONS
        for other in declaration.distinguished_from
        for cause in declaration.ids
        if cause != other
    }
    told = set()
    for path in CASES:
        case = json.loads(path.read_text(encoding="utf-8"))
        for cause, other, why in case.get("told_apart", ()):
            assert why, path.stem
            assert cause in {root for root, _subject in case["roots"]}, path.stem
            told.add((cause, other))
    assert declared - told == set()
    assert told - declared == set()


def test_a_place_is_that_of_the_finding_and_no_name_is_a_format() -> None:
    (missing,) = [one for one in DECLARATIONS if one.ids == ("queue-missing",)]
    finding = Finding("rabbitmq.queue.missing", Status.CRITICAL, "rabbitmq/{server}", "", server="api")
    (candidate,) = missing.candidates(View((finding,), Site(settings())))
    assert Effect("celery.queue.*", subject="celery/{server}") in candidate.effects


@pytest.mark.parametrize("system", ["flower", "minio", "proxy"])
def test_a_service_that_is_known_by_a_url_may_be_silent_too(system: str) -> None:
    server = None if system == "proxy" else "workers"
    silent = Finding(
        f"{system}.service.unreachable",
        Status.CRITICAL,
        f"{system}/x",
        "",
        server=server,
        evidence={"kind": "silent"},
    )
    log_in = Finding("servers.ssh.unreachable", Status.OK, "servers/workers", "", server="workers")
    found = [
        one for each in DECLARATIONS for one in each.candidates(View((silent, log_in), Site(settings())))
    ]
    assert [one.id for one in found] == ["proxy-down" if system == "proxy" else f"{system}-port-dropped"]


def test_the_graph_has_every_cause_and_its_arrows_lead_away_from_the_ground() -> None:
    graph = causal_graph.graph()
    order = [node.key for node in graph.nodes]
    assert len(order) == len(set(order))
    assert {cause for node in graph.nodes for cause in node.ids} == set(causal_graph.causes())
    assert graph.edges
    assert all(order.index(first) < order.index(second) for first, second in graph.edges)


def test_an_arrow_that_others_stand_for_is_left_out() -> None:
    edges = causal_graph.graph().edges
    assert ("broker-refuses-clients@part", "worker-down@part") in edges
    assert ("rabbitmq-down@service", "queue-without-consumer@consumer") not in edges


@pytest.mark.parametrize("cause", causal_graph.causes())
def test_every_cause_is_described_with_and_without_a_configuration(cause: str) -> None:
    for site in (None, Site(settings())):
        described = causal_graph.describe(cause, site)
        assert described.ways
        assert all(way.shown_by for way in described.ways)
        assert cause not in (*described.explains, *described.explained_by)


def test_a_cause_without_a_playbook_shows_the_fixes_of_an_example() -> None:
    fixes = causal_graph.describe("minio-down", Site(settings())).fixes
    assert [fix.id for fix in fixes] == ["minio.look", "minio.restart"]
    assert "systemctl status minio" in fixes[0].commands[0]


def test_a_fault_that_no_cause_knows_is_explained_as_such() -> None:
    assert "no cause that samaops knows" in causal_graph.describe(UNKNOWN_FAULT).meaning
