"""Read what the script says of quotas. Blocks are KiB there; a grace is 0, "over", "later", or the second when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.facts.servers import Quota, Quotas, QuotaUse
from samaops.i18n import _
from samaops.model.failure import FailureKind

_KINDS = {"u": "user", "g": "group", "p": "project"}
_KIB = 1024


def read(lines: Sequence[str], now: float) -> tuple[Quotas, ...]:
    """Return the quotas of each mount that enforces some. ``now`` is the server's time. Raises ClientError."""
    found: list[Quotas] = []
    for line in lines:
        word, _space, rest = line.partition(" ")
        if word == "quota":
            kind, _space, mount = rest.partition(" ")
            found.append(Quotas(mount, _KINDS.get(kind, kind)))
        elif found:
            found[-1] = _with(found[-1], word, rest, now)
    return tuple(found)


def _with(quotas: Quotas, word: str, rest: str, now: float) -> Quotas:
    if word == "limited":
        return replace(quotas, limited=int(rest))
    if word == "row":
        return replace(quotas, near=(*quotas.near, _row(quotas, rest, now)))
    if word == "absent":
        return replace(quotas, unseen=_("neither repquota nor xfs_quota is there (package quota)"))
    if word == "late":
        return replace(quotas, unseen=_("no answer in time"))
    return replace(quotas, unseen=rest or word)


def _row(quotas: Quotas, rest: str, now: float) -> Quota:
    try:
        number, name, *numbers = rest.split(" ")
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
    except (ValueError, IndexError) as error:
        message = _("the server's answer is not complete, it has: {sections}").format(sections=rest)
        raise ClientError(FailureKind.GARBAGE, message, "quotas") from error


def _is_over(grace: str, now: float) -> bool:
    return grace == "over" or (grace.isdigit() and 0 < int(grace) <= now)
