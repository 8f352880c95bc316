"""``explain`` of causes, and of how they hang together."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Samaops


def test_the_causal_graph_is_told_in_its_three_forms(samaops: Samaops) -> None:
    text = samaops("explain", "--graph")
    assert text.code == 0
    assert "queue-without-consumer  (notifications)" in text.stdout
    assert max(len(line) for line in text.stdout.splitlines()) <= 80
    mermaid = samaops("explain", "--graph", "--form", "mermaid").stdout
    assert mermaid.startswith("flowchart LR\n")
    assert "broker_refuses_clients__part --> worker_down__part" in mermaid
    dot = samaops("explain", "--graph", "--form", "dot").stdout
    assert dot.startswith("digraph causes {\n")
    assert "broker_refuses_clients__part -> worker_down__part;" in dot


def test_the_causal_graph_is_told_to_programs_and_in_documents(samaops: Samaops) -> None:
    document = samaops("explain", "--graph", "-o", "json").json()
    assert document["schema"] == "samaops/causal-graph/1"
    (node,) = [node for node in document["nodes"] if node["ids"] == ["queue-without-consumer"]]
    assert (node["rank"], node["runbook"]) == ("consumer", "notifications")
    assert [finding["code"] for finding in node["shown_by"]] == ["rabbitmq.queue.no_consumer"]
    assert ["broker-refuses-clients@part", "worker-down@part"] in document["edges"]
    assert "| cause | shown by |" in samaops("explain", "--graph", "-o", "markdown").stdout
    drawn = samaops("explain", "--graph", "-o", "markdown", "--form", "mermaid").stdout
    assert drawn.startswith("```mermaid\nflowchart")


def test_a_cause_is_explained_with_what_shows_it_its_fixes_and_its_incident(samaops: Samaops) -> None:
    human = samaops("explain", "queue-without-consumer").stdout
    assert "rabbitmq.queue.no_consumer" in human
    assert "samaops troubleshoot notifications --apply workers.add_queue" in human
    assert "samaops lab break queue-without-consumer" in human
    document = samaops("explain", "queue-without-consumer", "-o", "json").json()
    assert document["schema"] == "samaops/cause/1"
    assert "rabbitmq-down" in document["explained_by"]
    assert samaops("explain", "lock-chain", "-o", "markdown").stdout.startswith("# lock-chain\n")
    french = samaops("--lang", "fr", "explain", "queue-without-consumer").stdout
    assert "Qui attend ou est refusé au bout" in french


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("queue-without-consumr",), "samaops explain queue-without-consumer"),
        (("redis",), "samaops explain redis.keys.big"),
        (("xyzzy",), "samaops explain --graph"),
        (("redis-down", "--form", "dot"), "--form is of --graph only"),
        (("redis-down", "--graph"), "samaops explain redis-down"),
        (("--graph", "--form", "png"), "--form: must be one of text, mermaid, dot"),
        (("--graph", "--form", "dot", "-o", "json"), "--form and -o json do not go together"),
        (("--graph", "-o", "nagios"), "this answer has no form nagios"),
    ],
)
def test_what_cannot_be_explained_is_64_and_says_what_was_meant(
    samaops: Samaops, arguments: tuple[str, ...], meant: str
) -> None:
    done = samaops("explain", *arguments)
    assert done.code == 64
    assert meant in done.stderr
