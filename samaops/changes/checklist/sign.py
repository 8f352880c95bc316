"""Sign an item of a checklist: who says that it is done, when and why. Taking the change back takes the signature back."""

from __future__ import annotations

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import checklists
from samaops.errors import UsageError
from samaops.facts.checklist import FAILED, SEEN, BookFacts, Entry
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.site.site import Site

SIGN = "checklist.sign"
SIGNATURE = "checklist.signature"
_CODES = ("checklist.book",)
_LONGEST_NOTE, _LONGEST_NAME = 300, 80


class Signing(Struct, frozen=True):
    """A signature to be written; "" as ``by`` takes it back. ``signed_at`` is ISO 8601, "" for now.

    ``accepts`` are the findings (code@subject), warnings all of them, that were known when it was signed.
    """

    checklist: str
    item: str
    by: str
    note: str
    signed_at: str = ""
    accepts: tuple[str, ...] = ()


def _looks(_site: Site, checklist: str, item: str, *_words: str) -> tuple[str, ...]:
    checklists.named(checklist).item(item)
    return _CODES


@verb(
    "checklist sign",
    looks=_looks,
    typed=lambda checklist, item, by, note: (checklist, item, "--by", by, "--note", note),
)
def plan_sign(snapshot: Snapshot, _site: Site, checklist: str, item: str, by: str, note: str) -> Plan:
    """Plan that a person's signature stands at an item."""
    by, note = " ".join(by.split()), " ".join(note.split())
    if not by or len(by) > _LONGEST_NAME:
        raise UsageError(_("--by: who signs, in at most {count} characters").format(count=_LONGEST_NAME))
    if not note.strip("… "):
        raise UsageError(_("--note is empty: say what was looked at, or agreed"))
    if len(note) > _LONGEST_NOTE:
        text = _("--note: what was looked at, or agreed, in at most {count} characters")
        raise UsageError(text.format(count=_LONGEST_NOTE))
    described = checklists.named(checklist).item(item)
    title = _("{by} signs {item} of {list}: {note}").format(by=by, item=item, list=checklist, note=note)
    plan = Plan("checklist sign", (checklist, item, by, note), title, target=item)
    notes = [_("{item}: {title}").format(item=item, title=described.title)]
    if described.checks and not described.signed:
        notes.append(
            _(
                "samaops looks at this itself: a signature stands in for what it cannot see, never for what is critical"
            )
        )
    accepts: tuple[str, ...] = ()
    last = facts_in(snapshot, BookFacts).of(checklist, item, SEEN)[-1:]
    if last and last[0].state == FAILED:
        words = last[0].reason
        if last[0].status == "warning":
            accepts = last[0].keys
            notes.append(_("this is accepted as it was seen last: {reason}").format(reason=words))
        else:
            notes.append(_("it stays open, since it has failed: {reason}").format(reason=words))
    signing = Signing(checklist, item, by, note, accepts=accepts)
    return _planned(replace(plan, notes=tuple(notes)), snapshot, signing)


@verb("checklist unsign", looks=_looks)
def plan_unsign(snapshot: Snapshot, _site: Site, checklist: str, item: str) -> Plan:
    """Plan that no signature stands at an item."""
    title = _("Take the signature of {item} of {list} back").format(item=item, list=checklist)
    plan = Plan("checklist unsign", (checklist, item), title, target=item)
    return _planned(plan, snapshot, Signing(checklist, item, "", ""))


def _planned(plan: Plan, snapshot: Snapshot, wanted: Signing) -> Plan:
    entry = facts_in(snapshot, BookFacts).signature(wanted.checklist, wanted.item)
    before, after = said(entry), _words(wanted.by, wanted.note, wanted.accepts)
    if before == after:
        nothing = _("it is signed so already") if after else _("it is not signed")
        return replace(plan, nothing_to_do=nothing)
    back = Signing(wanted.checklist, wanted.item, "", "")
    if entry is not None:
        at = entry.signed_at or entry.at
        back = Signing(wanted.checklist, wanted.item, entry.by, entry.note, at, entry.keys)
    step = Step(
        plan.verb.replace(" ", "."),
        plan.title,
        Risk.SAFE,
        Operation(SIGN, to_builtins(wanted)),
        before=(_is(wanted, before),),
        after=(_is(wanted, after),),
        undo=Operation(SIGN, to_builtins(back)),
        servers=(),
        about=f"checklist/{wanted.checklist}/{wanted.item}",
    )
    return replace(plan, steps=(step,))


def _is(wanted: Signing, value: str) -> Condition:
    text = _("{item} is signed by {value}") if value else _("{item} is not signed")
    return Condition(
        SIGNATURE, (wanted.checklist, wanted.item), value, text.format(item=wanted.item, value=value)
    )


def said(entry: Entry | None) -> str:
    """Return a signature as the reading has it; "" for none."""
    return _words(entry.by, entry.note, entry.keys) if entry else ""


def _words(by: str, note: str, accepts: tuple[str, ...]) -> str:
    return " ".join((f"{by}: {note}", *(f"+{key}" for key in accepts))) if by else ""


@reading(SIGNATURE, codes=_CODES)
def signature(snapshot: Snapshot, checklist: str, item: str) -> str:
    """Return who signed an item, and why; "" when nobody did."""
    return said(facts_in(snapshot, BookFacts).signature(checklist, item))
