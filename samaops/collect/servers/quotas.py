"""Read what the script says of quotas. Blocks are KiB there; a grace is 0, "over", "later", or the second when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.collect.values import lacking
from samaops.facts.servers import Quota, Quotas, QuotaUse
from samaops.i18n import _
from samaops.model.failure import FailureKind

_KINDS = {"u": "user", "g": "group", "p": "project"}
_KIB = 1024
_LATE = "late"


def read(lines: Sequence[str] | None, now: float) -> tuple[Quotas, ...]:
    """Return the quotas of each mount that enforces some. ``now`` is the server's time.

    Raises ClientError where the answer is not complete: a line that is missing would be a quota that is not near its limit.
    """
    if not lines:
        raise lacking("quotas", stage="quotas")
    try:
        kinds = int(lines[0].removeprefix("kinds "))
        blocks = _blocks(lines[1:])
        quotas = tuple(_read_block(block, now) for block in blocks)
    except (KeyError, ValueError, IndexError) as error:
        raise _incomplete(lines) from error
    if len(quotas) != kinds:
        raise _incomplete(lines)
    return quotas


def _blocks(lines: Sequence[str]) -> list[list[str]]:
    """Return the lines of each kind of each mount."""
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("quota "):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _read_block(block: Sequence[str], now: float) -> Quotas:
    letter, mount = block[0].split(" ", 2)[1:]
    quotas = Quotas(mount, _KINDS[letter])
    word, _space, rest = block[-1].partition(" ")
    if word == "limited":
        limited, near = (int(number) for number in rest.split(" "))
        rows = tuple(_row(quotas, line.removeprefix("row "), now) for line in block[1:-1])
        if len(rows) != near:
            raise ValueError(block[-1])
        return replace(quotas, limited=limited, near=rows)
    reasons = {
        "absent": _("neither repquota nor xfs_quota is there (package quota)"),
        _LATE: _("no answer in time"),
        "refused": rest,
    }
    if word not in reasons:
        raise ValueError(block[-1])
    return replace(quotas, unseen=reasons[word] or word)


def _row(quotas: Quotas, row: str, now: float) -> Quota:
    number, name, *numbers = row.split(" ")
    used, soft, hard = (int(word) * _KIB for word in numbers[:3])
    files_used, files_soft, files_hard = (int(word) for word in numbers[4:7])
    return Quota(
        mount=quotas.mount,
        kind=quotas.kind,
        number=int(number.removeprefix("#")),
        name="" if name == "-" else name,
        space=QuotaUse(used, soft, hard, _is_over(numbers[3], now)),
        files=QuotaUse(files_used, files_soft, files_hard, _is_over(numbers[7], now)),
    )


def _is_over(grace: str, now: float) -> bool:
    return grace == "over" or (grace.isdigit() and 0 < int(grace) <= now)


def _incomplete(lines: Sequence[str]) -> ClientError:
    message = _("the server's answer is not complete, it has: {sections}").format(
        sections=", ".join(lines[:5])
    )
    return ClientError(FailureKind.GARBAGE, message, "quotas")
