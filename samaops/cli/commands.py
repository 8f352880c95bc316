"""The commands that exist: where each is, and one line of help. A command's module is imported when it is called."""

from __future__ import annotations

from samaops.i18n import N_

COMMANDS = {
    "diagnose": ("samaops.cli.diagnose", N_("Find what is broken and why, the root cause first.")),
    "explain": ("samaops.cli.explain", N_("What a finding means, how to confirm it, the least risky fix.")),
    "workers": ("samaops.cli.workers", N_("Change the Celery workers: add a queue to a running one.")),
    "docker": ("samaops.cli.docker", N_("Change containers: restart one.")),
    "history": ("samaops.cli.history", N_("What was changed, when, by whom, and how it ended.")),
    "undo": ("samaops.cli.undo", N_("Take a change back.")),
    "config": ("samaops.cli.config", N_("Write, check and show the configuration.")),
    "lab": ("samaops.cli.lab", N_("A small real SamaConso production on this machine, for practice.")),
}
