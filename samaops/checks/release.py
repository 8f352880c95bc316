"""Judge the releases: does one release run everywhere, is it kept, is there a way back."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access_check, check
from samaops.facts.observation import Snapshot
from samaops.facts.release import ReleaseFacts
from samaops.i18n import _, joined, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import samaops
from samaops.site.releases import Releases, observed, servers
from samaops.site.way_back import Verdict, way_back

SUBJECT = "release/application"


@access_check("release.server.unreadable", ReleaseFacts)
def readable(facts: ReleaseFacts, context: Context) -> Iterator[Finding]:
    evidence = {"engine": facts.engine, "compose": facts.compose, "recorded": len(facts.entries)}
    if facts.unreadable:
        title = ngettext(
            "{count} record of a release cannot be read",
            "{count} records of releases cannot be read",
            len(facts.unreadable),
        ).format(count=len(facts.unreadable))
        yield context.warn(title, detail=facts.unreadable[0], evidence=evidence)
        return
    title = ngettext("{count} release is recorded", "{count} releases are recorded", len(facts.entries))
    yield context.ok(title.format(count=len(facts.entries)), evidence=evidence)


@check("release.running.differs", Snapshot)
def one_release(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    if not servers(context.site):
        return
    releases, about = observed(snapshot, context.site), context.about(SUBJECT)
    parts = [part for part in releases.parts if part.system]
    if len(parts) < 2:
        return  # the checks of the engines and of their containers tell what is missing
    running = releases.running
    evidence = {part.known_as: part.image for part in parts}
    if len(running) == 1:
        title = _("Members and workers all run release {release}").format(release=releases.title(running[0]))
        yield about.ok(title, evidence=evidence)
        return
    title = _("Members and workers run different releases: {listed}").format(
        listed=joined(_who_runs(releases, image) for image in running)
    )
    yield about.crit(title, evidence=evidence, hint=samaops(context.site, "release list"))


def _who_runs(releases: Releases, image: str) -> str:
    names = [part.name or part.known_as for part in releases.parts if part.image == image and part.system]
    return f"{releases.title(image)}: {joined(names)}"


@check("release.kept.incomplete", ReleaseFacts)
def kept_whole(facts: ReleaseFacts, context: Context) -> Iterator[Finding]:
    """What a prune, or a hand, has taken of what keeps the releases that are recorded."""
    broken = [
        f"{entry.recorded.version or entry.recorded.image[7:19]}: {joined(_lacking(facts, entry.recorded.image))}"
        for entry in facts.entries
        if not facts.is_kept(entry.recorded.image)
    ]
    evidence = {"incomplete": broken}
    if not broken:
        yield context.ok(_("Every recorded release is kept whole"), evidence=evidence)
        return
    title = _("What keeps releases from a prune is not whole: {listed}").format(listed=joined(broken[:3]))
    yield context.warn(title, evidence=evidence, hint=samaops(context.site, "release record"))


def _lacking(facts: ReleaseFacts, identifier: str) -> Iterator[str]:
    image, entry = facts.image(identifier), facts.entry(identifier)
    if image is None:
        yield _("its image is gone")
    elif not image.is_tagged:
        yield _("it has no name of ours")
    elif not image.is_held:
        yield _("nothing holds it")
    if entry is None or entry.archive_bytes is None:
        yield _("its file is gone")


@check("release.rollback.impossible", Snapshot)
def rollback(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    if not servers(context.site):
        return
    releases, about = observed(snapshot, context.site), context.about(SUBJECT)
    way = way_back(releases)
    target = releases.title(way.target) if way.target else ""
    evidence = {
        "verdict": way.verdict.value,
        "target": way.target,
        "live": list(way.live),
        "between": list(way.between),
    }
    hint = samaops(context.site, "rollback check")
    if way.verdict is Verdict.NONE:
        yield about.skipped(_("There is nothing to go back to: {reason}").format(reason=way.reason))
    elif way.verdict is Verdict.UNKNOWN:
        title = _("Whether there is a way back is not known: {reason}").format(reason=way.reason)
        yield about.unknown(title, evidence=evidence, hint=hint)
    elif way.verdict is Verdict.IMPOSSIBLE:
        title = _("There is no way back to {release}: {reason}").format(release=target, reason=way.reason)
        yield about.warn(title, evidence=evidence, hint=hint)
    elif way.verdict is Verdict.NEEDS_RESTORE:
        title = _("The way back to {release} needs a restore of the database").format(release=target)
        yield about.warn(title, detail=way.reason, evidence=evidence, hint=hint)
    elif way.verdict is Verdict.NEEDS_DOWNGRADE:
        title = _("The way back to {release} needs a downgrade of the database").format(release=target)
        yield about.ok(title, evidence=evidence)
    else:
        title = _("The way back to {release} is open: the code alone").format(release=target)
        yield about.ok(title, evidence=evidence)
