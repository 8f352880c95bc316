"""The causal graph as it is drawn."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from samaops.model.causal_graph import CausalGraph, CauseNode, Produced, Shown
from samaops.render import causal_graph as face
from samaops.render.causal_graph import Form
from samaops.workflows import causal_graph


def node(name: str, rank: str, code: str, *produces: Produced) -> CauseNode:
    return CauseNode(f"{name}@{rank}", (name,), rank, "api-down", (Shown(code),), produces)


GRAPH = CausalGraph(
    (
        node("a-down", "server", "a.x", Produced(("b.*",), "{server}"), Produced(("c.*",), is_partial=True)),
        node("b-down", "service", "b.x", Produced(("c.*",), "celery/{name}")),
        node("c-down", "service", "c.x", Produced(("c.*",), "celery/{name}")),
    ),
    (("a-down@server", "b-down@service"),),
)


def test_the_text_tells_where_effects_are_and_repeats_none() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(face.graph_page(GRAPH))
    lines = [line.strip() for line in captured.get().splitlines()]
    assert "produces  on the same server: b.*" in lines
    assert "in part: c.*" in lines
    assert "produces  of celery/NAME: c.*" in lines
    assert "produces  the same as b-down" in lines


def test_the_whole_text_fits_80_columns() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(face.graph_page(causal_graph.graph()))
    assert max(len(line) for line in captured.get().splitlines()) <= 80


@pytest.mark.parametrize(("form", "arrow"), [(Form.MERMAID, "-->"), (Form.DOT, "->")])
def test_a_drawing_has_each_node_once_and_arrows_between_them(form: Form, arrow: str) -> None:
    lines = face.drawing(causal_graph.graph(), form).splitlines()
    nodes = [line.split("[")[0].strip() for line in lines if re.match(r" +\w+ ?\[", line)]
    nodes = [name for name in nodes if "__" in name]
    arrows = [line.strip(" ;").split(f" {arrow} ") for line in lines if f" {arrow} " in line]
    assert len(nodes) == len(set(nodes)) == len(causal_graph.graph().nodes)
    assert {name for pair in arrows for name in pair} <= set(nodes)
    assert len(arrows) == len(causal_graph.graph().edges)


def test_markdown_is_a_table_or_a_block() -> None:
    assert (
        "| `a-down` | `a.x` | on the same server: `b.*`; in part: `c.*` | api-down |"
        in face.graph_markdown(GRAPH, Form.TEXT)
    )
    assert face.graph_markdown(GRAPH, Form.DOT).startswith("```dot\ndigraph")
