"""The causal graph as text, Mermaid, DOT, Markdown or plain values, and one cause of it in full."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import groupby
from typing import Any

from msgspec import to_builtins
from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import N_, _, joined
from samaops.model.causal_graph import CausalGraph, CauseDescription, CauseNode, Produced, Shown
from samaops.render import escape, words
from samaops.render.layout import CommandLine, Hanging

GRAPH_SCHEMA = "samaops/causal-graph/1"
CAUSE_SCHEMA = "samaops/cause/1"

_RANKS = {
    "server": N_("A server"),
    "resource": N_("What a server has: disks, memory, a clock"),
    "engine": N_("What runs or reaches everything on a server"),
    "container": N_("A container"),
    "service": N_("A service that does not serve"),
    "state": N_("A service in a state that stops others"),
    "part": N_("A part of a service"),
    "work": N_("What runs and does not do its work"),
    "consumer": N_("Who waits or is refused at the end"),
    "remainder": N_("What is named when nothing nearer explains it"),
}


class Form(str, Enum):
    """How a graph is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"

    def __str__(self) -> str:
        return self.value


def graph_document(graph: CausalGraph) -> dict[str, Any]:
    """Return the graph as plain values."""
    return {"schema": GRAPH_SCHEMA, **to_builtins(graph)}


def cause_document(cause: CauseDescription) -> dict[str, Any]:
    """Return one cause as plain values."""
    return {"schema": CAUSE_SCHEMA, **to_builtins(cause)}


def graph_page(graph: CausalGraph) -> Group:
    """Return the graph for a screen, by rank."""
    return Group(*_graph_page(graph))


def _graph_page(graph: CausalGraph) -> Iterator[RenderableType]:
    first = _("Nearest to the ground first: what stands higher may explain what stands lower.")
    yield Hanging(Text(""), Text(first))
    for rank, nodes in groupby(graph.nodes, lambda node: node.rank):
        yield Text("")
        yield Text(_(_RANKS[rank]), "bold")
        above: CauseNode | None = None
        for node in nodes:
            runbook = f"  ({node.runbook})" if node.runbook else ""
            yield Hanging(Text("  "), Text(", ".join(node.ids), "bold").append(runbook, "dim"))
            yield from _way(node, above)
            above = node


def _way(node: CauseNode, above: CauseNode | None = None) -> Iterator[RenderableType]:
    shown, produced = _("shown by"), _("produces")
    width = max(len(shown), len(produced))
    text = ", ".join(_code(finding) for finding in node.shown_by)
    yield Hanging(Text(f"{shown:<{width}}  ", "dim"), Text(text), indent=4)
    for number, effect in enumerate(_effects(node, above)):
        label = "" if number else produced
        yield Hanging(Text(f"{label:<{width}}  ", "dim"), Text(effect), indent=4)


def _code(finding: Shown) -> str:
    return f"{finding.code} ({', '.join(finding.kinds)})" if finding.kinds else finding.code


def _effects(node: CauseNode, above: CauseNode | None, quote: str = "") -> list[str]:
    """Return what a node produces; where the one above it produces the same, only that."""
    if node.produces and above and above.produces == node.produces:
        return [_("the same as {cause}").format(cause=f"{quote}{above.ids[0]}{quote}")]
    return [_effect(effect, quote) for effect in node.produces]


def _effect(effect: Produced, quote: str = "") -> str:
    names = ", ".join(f"{quote}{code}{quote}" for code in effect.codes)
    if effect.is_partial:
        names = _("in part: {names}").format(names=names)
    if effect.place in ("{server}", "SERVER"):
        return _("on the same server: {names}").format(names=names)
    if effect.place == "{subject}":
        return _("of the same subject: {names}").format(names=names)
    if effect.place:
        return _("of {subject}: {names}").format(subject=effect.place.replace("{name}", "NAME"), names=names)
    return names


def cause_page(cause: CauseDescription) -> Group:
    """Return one cause in full, for a screen."""
    return Group(*_cause_page(cause))


def _cause_page(cause: CauseDescription) -> Iterator[RenderableType]:
    yield Text(cause.id, "bold")
    if cause.meaning:
        yield Hanging(Text(""), Text(escape.plain(cause.meaning)))
    for way in cause.ways:
        yield from _heading(_(_RANKS[way.rank]))
        yield from _way(way)
    for heading, names in _neighbours(cause):
        yield from _heading(heading)
        yield Hanging(Text(""), Text(", ".join(names)), indent=2)
    yield from _heading(_("Fixes"))
    if not cause.fixes:
        yield Hanging(Text(""), Text(_no_fix()), indent=2)
    for fix in cause.fixes:
        body = Text(escape.plain(fix.title)).append(f"  ({words.risk(fix.risk)})", "dim")
        yield Hanging(Text(escape.plain(fix.id) + _(": "), "bold"), body, indent=2)
        yield from (CommandLine(escape.command(command), indent=4) for command in fix.commands)


def _heading(text: str) -> tuple[RenderableType, ...]:
    return Text(""), Text(text, "bold")


def _no_fix() -> str:
    return _("They depend on what is found: {command}").format(command="samaops diagnose")


def _neighbours(cause: CauseDescription) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what else there is to know of a cause, with its heading."""
    runbooks = tuple(dict.fromkeys(way.runbook for way in cause.ways if way.runbook))
    for heading, names in (
        (_("May be a symptom of"), cause.explained_by),
        (_("May explain"), cause.explains),
        (_("Told apart from"), cause.distinguished_from),
        (_("Runbook"), runbooks),
        (_("Practise it"), tuple(f"samaops lab break {incident}" for incident in cause.incidents)),
    ):
        if names:
            yield heading, names


def cause_markdown(cause: CauseDescription) -> str:
    """Return one cause in full, as Markdown."""
    lines = [f"# {cause.id}", ""]
    if cause.meaning:
        lines += [escape.markdown(cause.meaning), ""]
    shown, produced = _("shown by"), _("produces")
    for way in cause.ways:
        lines += ["## " + _(_RANKS[way.rank]), ""]
        lines += [f"- {shown}" + _(": ") + ", ".join(f"`{_code(finding)}`" for finding in way.shown_by)]
        lines += [f"- {produced}" + _(": ") + _effect(effect, "`") for effect in way.produces]
        lines += [""]
    for heading, names in _neighbours(cause):
        lines += [f"## {heading}", "", ", ".join(f"`{name}`" for name in names), ""]
    lines += ["## " + _("Fixes"), ""]
    for fix in cause.fixes:
        lines += [f"- `{fix.id}` ({words.risk(fix.risk)}): {escape.markdown(fix.title)}"]
        lines += [f"  - {escape.markdown_code(command)}" for command in fix.commands]
    return "\n".join(lines if cause.fixes else [*lines, _no_fix()]) + "\n"


def graph_markdown(graph: CausalGraph, form: Form) -> str:
    """Return the graph as Markdown: a table, or a drawing."""
    if form is not Form.TEXT:
        return f"```{form}\n{drawing(graph, form)}```\n"
    lines = []
    for rank, nodes in groupby(graph.nodes, lambda node: node.rank):
        headings = (_("cause"), _("shown by"), _("produces"), _("runbook"))
        title = _(_RANKS[rank])
        lines += ["", f"## {title}", "", f"| {' | '.join(headings)} |", "| --- | --- | --- | --- |"]
        above: CauseNode | None = None
        for node in nodes:
            ids = ", ".join(f"`{name}`" for name in node.ids)
            shown = ", ".join(f"`{_code(finding)}`" for finding in node.shown_by)
            produced = joined(_effects(node, above, "`"))
            lines.append(f"| {ids} | {shown} | {produced} | {node.runbook or ''} |")
            above = node
    return "\n".join(lines[1:]) + "\n"


def drawing(graph: CausalGraph, form: Form) -> str:
    """Return the graph as a source of Mermaid or of Graphviz."""
    return _mermaid(graph) if form is Form.MERMAID else _dot(graph)


def _mermaid(graph: CausalGraph) -> str:
    lines = ["flowchart LR"]
    for rank, nodes in groupby(graph.nodes, lambda node: node.rank):
        title = _(_RANKS[rank])
        lines.append(f'  subgraph {rank}["{title}"]')
        lines += [f'    {_name(node.key)}["{_label(node, "<br>")}"]' for node in nodes]
        lines.append("  end")
    lines += [f"  {_name(first)} --> {_name(second)}" for first, second in graph.edges]
    return "\n".join(lines) + "\n"


def _dot(graph: CausalGraph) -> str:
    lines = ["digraph causes {", "  rankdir=LR;", "  node [shape=box];"]
    for rank, nodes in groupby(graph.nodes, lambda node: node.rank):
        title = _(_RANKS[rank])
        lines += [f"  subgraph cluster_{rank} {{", f'    label="{title}";']
        lines += [f'    {_name(node.key)} [label="{_label(node, chr(92) + "n")}"];' for node in nodes]
        lines.append("  }")
    lines += [f"  {_name(first)} -> {_name(second)};" for first, second in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _name(key: str) -> str:
    return key.replace("-", "_").replace("@", "__")


def _label(node: CauseNode, line_break: str) -> str:
    """Return the causes of a node, and below them what shows them."""
    return line_break.join((*node.ids, *(f"({_code(finding)})" for finding in node.shown_by)))
