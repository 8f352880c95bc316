"""Which logs of the application a site wants rotated, and why one is left as it is."""

from __future__ import annotations

from samaops.facts.maintenance_week import Rotation, RotationFacts
from samaops.i18n import N_, _
from samaops.site.site import Site

_MEGABYTE = 1024 * 1024
_LEFT = {
    "unseen": N_("who has it open cannot be seen without root"),
    "network": N_("it lies on another machine's disk: who has it open there cannot be seen"),
    "position": N_("{writer} writes at a place of its own, not at the end: cutting it would leave a hole"),
    "file system": N_(
        "{writer} has it open, and {file_system} cannot take the head off a file in one stroke"
    ),
}


def due(facts: RotationFacts, site: Site) -> tuple[Rotation, ...]:
    """Return what is to be rotated by the limits of the site, the largest first."""
    rules = site.settings.maintenance
    return facts.due(
        rules.log_rotate_days, round(rules.log_rotate_mb * _MEGABYTE), reopens=bool(rules.log_reopen)
    )


def why_left(rotation: Rotation, facts: RotationFacts) -> str:
    """Say why a log is left as it is."""
    writers = rotation.file.writers or ()
    writer = ", ".join(f"{each.name} ({each.pid})" for each in writers[:2])
    return _(_LEFT[rotation.reason]).format(writer=writer, file_system=facts.file_system)
