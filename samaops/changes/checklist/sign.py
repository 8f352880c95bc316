"""Sign an item of a checklist: who says that it is done, when and why. Taking the change back takes the signature back."""

from __future__ import annotations

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import checklists
from samaops.config.checklists import TO_COME
from samaops.errors import UsageError
from samaops.facts.checklist import SEEN, BookFacts, Entry
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.site.site import Site

SIGN = "checklist.sign"
SIGNATURE = "checklist.signature"
_CODES = ("checklist.book",)
_LONGEST_NOTE, _LONGEST_NAME = 300, 80


class Signing(Struct, frozen=True):
    """A signature to be written; "" as ``by`` takes it back. ``signed_at`` is ISO 8601, "" for now."""

    checklist: str
    item: str
    by: str
    note: str
    signed_at: str = ""


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
    if not note.strip("… ") or len(note) > _LONGEST_NOTE:
        text = _("--note: what was looked at, or agreed, in at most {count} characters")
        raise UsageError(text.format(count=_LONGEST_NOTE))
    described = checklists.named(checklist).item(item)
    title = _("{by} signs {item} of {list}: {note}").format(by=by, item=item, list=checklist, note=note)
    plan = Plan("checklist sign", (checklist, item, by, note), title, target=item)
    notes = [_("{item}: {title}").format(item=item, title=described.title)]
    if described.checks and not described.signed and not TO_COME.intersection(described.checks):
        notes.append(
            _(
                "samaops looks at this itself: the signature counts only while it could not look, never for a failure"
            )
        )
    last = facts_in(snapshot, BookFacts).of(checklist, item, SEEN)[-1:]
    if last and last[0].text("state") == "failed":
        notes.append(
            _("when it was looked at last, it had failed: {reason}").format(reason=last[0].text("reason"))
        )
    return _planned(replace(plan, notes=tuple(notes)), snapshot, Signing(checklist, item, by, note))


@verb("checklist unsign", looks=_looks)
def plan_unsign(snapshot: Snapshot, _site: Site, checklist: str, item: str) -> Plan:
    """Plan that no signature stands at an item."""
    title = _("Take the signature of {item} of {list} back").format(item=item, list=checklist)
    plan = Plan("checklist unsign", (checklist, item), title, target=item)
    return _planned(plan, snapshot, Signing(checklist, item, "", ""))


def _planned(plan: Plan, snapshot: Snapshot, wanted: Signing) -> Plan:
    entry = facts_in(snapshot, BookFacts).signature(wanted.checklist, wanted.item)
    before, after = said(entry), f"{wanted.by}: {wanted.note}" if wanted.by else ""
    if before == after:
        nothing = _("it is signed so already") if after else _("it is not signed")
        return replace(plan, nothing_to_do=nothing)
    back = Signing(wanted.checklist, wanted.item, "", "")
    if entry is not None:
        at = entry.text("signed_at") or entry.at
        back = Signing(wanted.checklist, wanted.item, entry.text("by"), entry.text("note"), at)
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
    return f"{entry.text('by')}: {entry.text('note')}" if entry else ""


@reading(SIGNATURE, codes=_CODES)
def signature(snapshot: Snapshot, checklist: str, item: str) -> str:
    """Return who signed an item, and why; "" when nobody did."""
    return said(facts_in(snapshot, BookFacts).signature(checklist, item))
