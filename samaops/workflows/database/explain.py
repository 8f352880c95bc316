"""The plan of one statement: never run unless that is asked for, and then in a transaction that can change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.collect import statements
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.i18n import _, joined, number
from samaops.model.failure import FailureKind
from samaops.model.quantities import size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look, slow

LONGEST_STATEMENT = 1_000_000
_WRITES = ("insert", "update", "delete")
_QUERYID = re.compile(r"-?\d{1,20}")
_PARAMETER = re.compile(r"(?<![\w$])\$\d+")
# Below it, reading all of a table is as good as an index.
_LARGE_ROWS = 10_000
_CONDITIONS = (
    "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter", "Filter", "Sort Key", "Group Key",
    "One-Time Filter", "TID Cond",
)  # fmt: skip
_INDENT = "\u00a0\u00a0"  # plain spaces at the beginning of a cell are taken away


class Wanted(Struct, frozen=True):
    """Which statement: its id in pg_stat_statements, or its text; and whether it is run, for how long at most."""

    queryid: str = ""
    text: str = ""
    analyze: bool = False
    seconds: float = 10.0


class Node(Struct, frozen=True):
    """One line of a plan. ``share`` is its part of all that is expected to be done, or was done, without its children's."""

    depth: int
    share: float
    rows: float
    plan: Mapping[str, Any]

    @property
    def relation(self) -> str:
        """The table that it reads, "" for none."""
        return str(self.plan.get("Relation Name") or "")

    @property
    def actual_rows(self) -> float | None:
        """How many rows it gave in all, None where it was not run."""
        rows, loops = self.plan.get("Actual Rows"), self.plan.get("Actual Loops")
        return None if rows is None or loops is None else float(rows) * max(loops, 1)


def explain(site: Site, wanted: Wanted) -> Table:
    """Return the plan of a statement as a list of its lines, and in a sentence those that matter."""
    if not wanted.text and not _QUERYID.fullmatch(wanted.queryid):
        text = _(
            "{value!r} is no queryid; give one that samaops db slow shows, or - and the statement on stdin"
        )
        raise UsageError(text.format(value=wanted.queryid[:40]), "samaops db slow")
    if wanted.text:
        require_explainable(wanted.text, is_run=wanted.analyze)
    with look.connected(site, wanted.seconds + look.LOOK_SECONDS) as client:
        statement = wanted.text or _text_of(site, client, wanted)
        if isinstance(statement, Table):
            return statement
        role = client.read_one("server")["role"]
        try:
            document = _run(client, statement, wanted) if wanted.analyze else _planned(client, statement)
        except ClientError as error:
            return _failed(site, error, wanted, role)
        nodes = list(nodes_of(document["Plan"]))
        names = sorted({node.relation for node in nodes if node.relation})
        known = {row["name"]: row for row in client.read("table_rows", {"names": names})} if names else {}
    return _table(site, document, nodes, known, statement, is_run=wanted.analyze)


def require_explainable(statement: str, *, is_run: bool) -> None:
    """Raise RefusedError for all but one SELECT, INSERT, UPDATE, DELETE, VALUES or WITH; if run, for what writes."""
    bare = statements.without_literals(statement)
    bare = re.sub(r"--[^\n]*|/\*.*?(\*/|$)", " ", bare, flags=re.DOTALL)
    words = re.findall(r"[^\s(]+", bare)
    kind = words[0].lower().rstrip(";") if words else ""
    if kind not in slow.PLANNED:
        text = _(
            "only SELECT, INSERT, UPDATE, DELETE, VALUES and WITH are explained, this begins with {word!r}"
        )
        raise RefusedError(text.format(word=kind[:40]))
    if ";" in re.sub(r'"(?:[^"]|"")*"', "", bare).strip().rstrip(";"):
        raise RefusedError(_("this is more than one statement; give one alone"))
    if is_run and kind in _WRITES:
        raise RefusedError(
            _("{kind} is not run, for it writes; without --analyze its plan is shown").format(
                kind=kind.upper()
            )
        )
    if is_run and _PARAMETER.search(bare):
        raise RefusedError(_("a statement with $1 has no values to run with; give it with values on stdin"))


def _text_of(site: Site, client: PostgresClient, wanted: Wanted) -> str | Table:
    """Return the text of a statement that pg_stat_statements knows; a list that says why there is none."""
    extension = client.read_one("statistics_extension", {"name": slow.EXTENSION})
    if extension["schema"] is None or not extension["is_preloaded"]:
        return slow.missing(site, extension, "explain", _columns(is_run=False))
    texts = slow.texts_of(client, extension, int(wanted.queryid))
    ours = [row for row in texts if row["database"] == extension["database"]]
    if not ours and texts:
        text = _("{queryid} ran in the database {other}; plans are made in {database} only")
        raise RefusedError(
            text.format(queryid=wanted.queryid, other=texts[0]["database"], database=extension["database"])
        )
    query = next((row["query"] for row in ours if row["query"]), None)
    if query is None or query == look.HIDDEN:
        text = _("pg_stat_statements knows no text of {queryid}, or hides it from us")
        raise UsageError(text.format(queryid=wanted.queryid), "samaops db slow --since-reset")
    require_explainable(query, is_run=wanted.analyze)
    return str(query)


def _planned(client: PostgresClient, statement: str) -> Mapping[str, Any]:
    """Return the plan of a statement; with parameters the one that serves all their values."""
    bare = statement.strip().rstrip(";")
    if not _PARAMETER.search(statements.without_literals(statement)):
        return _document(client.of_statement("explain", bare))
    client.of_statement("explain_prepare", bare)
    count = client.read_one("explain_parameters")["count"]
    # Values that are never used: the plan is made before they are looked at.
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    return _document(client.of_statement("explain_generic", values))


def _run(client: PostgresClient, statement: str, wanted: Wanted) -> Mapping[str, Any]:
    client.read("limit_seconds", {"milliseconds": str(round(wanted.seconds * 1000))})
    client.read("explain_begin")
    document = _document(client.of_statement("explain_analyzed", statement.strip().rstrip(";")))
    client.read("probe_end")  # where it failed, the end of the connection takes it back
    return document


def _document(rows: Sequence[look.Row]) -> Mapping[str, Any]:
    (plan,) = rows[0]["QUERY PLAN"]
    document: Mapping[str, Any] = plan
    return document


def _failed(site: Site, error: ClientError, wanted: Wanted, role: str) -> Table:
    """Return that the plan could not be made for want of a right. Raises what says why else."""
    if error.kind is FailureKind.PERMISSION:
        answer = _("The plan is hidden from {role}: {reason}").format(role=role, reason=error.message)
        note = _("{role} needs the rights of the application's owner: sql/postgresql/role.sql gives them")
        return lists.table(
            site, "explain", _columns(is_run=False), (), answer, [note.format(role=role)], is_whole=False
        )
    if error.kind is FailureKind.NO_ANSWER:
        text = _("The statement did not end within {seconds:g} s; it was ended and nothing of it stays")
        raise UnavailableError(
            text.format(seconds=wanted.seconds) if wanted.analyze else error.message, "samaops db locks"
        ) from error
    if wanted.analyze and "read-only" in error.message:
        raise RefusedError(_("it writes, so it is not run: {reason}").format(reason=error.message)) from error
    if wanted.queryid:
        text = _("its normalized text cannot be planned ({reason}); give the statement with values on stdin")
        hint = typed(site, "db explain -")
        raise UsageError(text.format(reason=error.message), hint) from error
    raise UsageError(_("it cannot be planned: {reason}").format(reason=error.message)) from error


def nodes_of(plan: Mapping[str, Any]) -> Iterator[Node]:
    """Yield the lines of a plan from the top, each with its share of the whole."""
    lines = list(_walk(plan, 0))
    own = [max(0.0, _own(line)) for _depth, line in lines]
    total = sum(own)
    for (depth, line), cost in zip(lines, own, strict=True):
        yield Node(depth, 100 * cost / total if total else 0.0, float(line.get("Plan Rows", 0)), line)


def _walk(plan: Mapping[str, Any], depth: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    yield depth, plan
    for child in plan.get("Plans", ()):
        yield from _walk(child, depth + 1)


def _own(plan: Mapping[str, Any]) -> float:
    return _spent(plan) - sum(map(_spent, plan.get("Plans", ())))


def _spent(plan: Mapping[str, Any]) -> float:
    """Return what a part and all below it took in milliseconds, or is expected to cost where it was not run."""
    if "Actual Total Time" in plan:
        return float(plan["Actual Total Time"]) * float(plan.get("Actual Loops", 1))
    return float(plan.get("Total Cost", 0.0))


def _columns(*, is_run: bool) -> tuple[Column, ...]:
    real = (Column("actual", _("real rows"), True), Column("time", _("time"), True)) if is_run else ()
    return (
        Column("share", _("share"), True),
        Column("expected", _("rows expected"), True),
        *real,
        Column("line", _("plan")),
    )


def _table(
    site: Site,
    document: Mapping[str, Any],
    nodes: Sequence[Node],
    known: Mapping[str, look.Row],
    statement: str,
    *,
    is_run: bool,
) -> Table:
    rows = [_row(node) for node in nodes]
    matters = list(remarks(nodes, known))
    plan = document["Plan"]
    if is_run:
        head = _("Run and rolled back: {time}").format(
            time=slow.milliseconds(float(document.get("Execution Time", 0)))
        )
    else:
        head = _("Planned, not run: cost {cost}").format(cost=number(f"{plan.get('Total Cost', 0):.0f}"))
    answer = joined([head, *matters])
    notes = [_("of: {statement}").format(statement=look.statement(statement))]
    if not is_run and _PARAMETER.search(statements.without_literals(statement)):
        notes.append(
            _(
                "the plan that serves all values of $1; with one value the server may take another: samaops db explain -"
            )
        )
    changed = document.get("Settings")
    if changed:
        notes.append(_("settings that are not the default: {names}").format(names=", ".join(sorted(changed))))
    table = lists.table(site, "explain", _columns(is_run=is_run), rows, answer, notes)
    misjudged = sorted({node.relation for node in nodes if is_misjudged(node)})
    commands = (typed(site, f"db analyze {operands(*misjudged)}"),) if misjudged else ()
    return replace(table, commands=commands)


def _row(node: Node) -> look.Row:
    plan = node.plan
    words = [str(plan.get("Node Type", ""))]
    if plan.get("Operation") not in (None, plan.get("Node Type")):
        words = [str(plan["Operation"])]
    if plan.get("Index Name"):
        words.append(_("by {index}").format(index=plan["Index Name"]))
    if node.relation:
        words.append(_("on {table}").format(table=node.relation))
    conditions = {key: _shown(plan[key]) for key in _CONDITIONS if plan.get(key)}
    line = " ".join(words) + "".join(f" [{key}: {text}]" for key, text in conditions.items())
    arrow = _INDENT * node.depth + ("> " if node.depth else "")
    own_ms = max(0.0, _own(plan)) if "Actual Total Time" in plan else None
    actual = node.actual_rows
    return {
        "line": arrow + line,
        "depth": node.depth,
        "node": plan.get("Node Type"),
        "relation": node.relation or None,
        "index": plan.get("Index Name"),
        "conditions": conditions,
        "share": f"{node.share:.0f} %",
        "share_percent": round(node.share, 2),
        "expected": number(f"{node.rows:.0f}"),
        "expected_rows": node.rows,
        "cost": plan.get("Total Cost"),
        "actual": None if actual is None else number(f"{actual:.0f}"),
        "actual_rows": actual,
        "loops": plan.get("Actual Loops"),
        "time": None if own_ms is None else slow.milliseconds(own_ms),
        "own_ms": None if own_ms is None else round(own_ms, 3),
        "blocks_hit": plan.get("Shared Hit Blocks"),
        "blocks_read": plan.get("Shared Read Blocks"),
    }


def _shown(condition: object) -> str:
    """Return a condition without the values in it, which may be a customer's."""
    parts = condition if isinstance(condition, list) else [condition]
    return look.statement(", ".join(map(str, parts)))


def remarks(nodes: Sequence[Node], known: Mapping[str, look.Row]) -> Iterator[str]:
    """Yield what matters in a plan, the most expensive part first."""
    for node in sorted(nodes, key=lambda node: -node.share):
        plan, name = node.plan, node.relation
        rows_there = known.get(name, {}).get("rows", 0)
        given = node.rows if node.actual_rows is None else node.actual_rows
        if plan.get("Node Type") == "Seq Scan" and plan.get("Filter") and rows_there >= _LARGE_ROWS:
            yield _("{share:.0f} %: reads all of {table} ({rows} rows) for {given}").format(
                share=node.share, table=name, rows=number(str(rows_there)), given=number(f"{given:.0f}")
            )
        elif node.share >= 50:
            what = " ".join(word for word in (str(plan.get("Node Type")), name) if word)
            yield _("{share:.0f} %: {what}").format(share=node.share, what=what)
        if plan.get("Sort Space Type") == "Disk":
            yield _("a sort went to disk ({size}): work_mem is too small for it").format(
                size=size(1024 * plan.get("Sort Space Used", 0))
            )
        if plan.get("Hash Batches", 1) > max(1, plan.get("Original Hash Batches", 1)):
            yield _("a hash went to disk: work_mem is too small for it, or too few rows were expected")
        if is_misjudged(node):
            yield _("{expected} rows of {table} were expected, {given} came").format(
                expected=number(f"{node.rows:.0f}"), table=name, given=number(f"{given:.0f}")
            )


def is_misjudged(node: Node) -> bool:
    """Return whether so many rows of a table came, against what was expected, that another plan may have been better."""
    if not node.relation or node.actual_rows is None:
        return False
    expected = node.rows * float(node.plan.get("Actual Loops", 1))
    most, least = max(expected, node.actual_rows), max(1.0, min(expected, node.actual_rows))
    return most >= 1000 and most / least >= 10
