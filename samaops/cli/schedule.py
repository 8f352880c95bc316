"""`samaops schedule`: what runs by itself."""

from __future__ import annotations

import sys
from datetime import timezone
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from samaops.cli import configuration_file, global_options, moments, scheduler, screen
from samaops.cli.changing import ChangeCommand
from samaops.cli.consent import Consent, DryRunOption, YesOption, obtain
from samaops.cli.exit_codes import Answered
from samaops.cli.looking import LookCommand
from samaops.cli.options import OutputOption, completed_by
from samaops.errors import LOCKED, UsageError
from samaops.facts.schedule import OK, SKIPPED, TIMED_OUT
from samaops.i18n import N_, _
from samaops.render import escape
from samaops.render.bulletin import bulletin
from samaops.render.faces import Output
from samaops.workflows.schedule import announcing, by_hand, listing

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help=N_("A job of samaops schedule list."), autocompletion=completed_by("jobs")
    ),
]
JobOrAllArgument = Annotated[
    str,
    typer.Argument(
        metavar="JOB|all",
        help=N_("A job of samaops schedule list, or all of them."),
        autocompletion=completed_by("jobs"),
    ),
]


app.command(help=scheduler.HELP)(scheduler.run)


@app.command("list", help=N_("List the jobs: when each is next, how its last run ended."), cls=LookCommand)
def list_(ctx: typer.Context) -> None:
    """List the jobs."""
    ctx.obj.show(listing.listed)


@app.command(
    help=N_("The next and the last runs of a job, and why the last one did not run."), cls=LookCommand
)
def explain(ctx: typer.Context, job: JobArgument) -> None:
    """Explain a job."""
    ctx.obj.show(lambda site: listing.explained(site, job))


@app.command(help=N_("Do not begin a job until then, and say why."), cls=ChangeCommand)
def pause(
    ctx: typer.Context,
    job: JobOrAllArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=N_("Why it is paused."))],
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help=N_("For how long: 30m, 2h, 3d."))
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help=N_("Until then: '2026-01-31 14:00'."))
    ] = None,
) -> None:
    """Pause a job."""
    text = moments.end(for_, until).astimezone(timezone.utc).isoformat(timespec="seconds")
    ctx.obj.change("schedule pause", job, text, reason)


@app.command(help=N_("Let a job that is paused be begun again at its time."), cls=ChangeCommand)
def resume(ctx: typer.Context, job: JobOrAllArgument) -> None:
    """Let a job go on."""
    ctx.obj.change("schedule resume", job)


class Kind(str, Enum):
    """What begins the jobs."""

    SYSTEMD = "systemd"
    CRON = "cron"
    COMPOSE = "compose"


@app.command(help=N_("Write the files by which systemd, cron or compose begin the jobs."), cls=ChangeCommand)
def install(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help=N_("systemd, cron or compose."))],
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIRECTORY", help=N_("Where; /etc/systemd/system, /etc/cron.d, or here when absent.")
        ),
    ] = None,
    timers: Annotated[
        bool, typer.Option("--timers", help=N_("A timer of systemd for each job; no scheduler runs then."))
    ] = False,
) -> None:
    """Write the files."""
    if timers and kind is not Kind.SYSTEMD:
        raise UsageError(_("--timers is for systemd"))
    where = (directory or _USUAL[kind]).absolute()
    ctx.obj.change("schedule install", "timers" if timers else kind.value, str(where))


_USUAL = {
    Kind.SYSTEMD: Path("/etc/systemd/system"),
    Kind.CRON: Path("/etc/cron.d"),
    Kind.COMPOSE: Path(),
}


@app.command(help=N_("Take back the files that install wrote into a directory."), cls=ChangeCommand)
def uninstall(
    ctx: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help=N_("Where install wrote them."))
    ] = _USUAL[Kind.SYSTEMD],
) -> None:
    """Take the files back."""
    ctx.obj.change("schedule uninstall", str(directory.absolute()))


@app.command(
    "import",
    help=N_("Comment out of a crontab what the scheduler does; nothing runs twice."),
    cls=ChangeCommand,
)
def import_(
    ctx: typer.Context,
    crontab: Annotated[
        Path, typer.Argument(metavar="CRONTAB", help=N_("A file of crontab -l, or of /etc/cron.d."))
    ],
) -> None:
    """Take over a crontab."""
    ctx.obj.change("schedule import", str(crontab.absolute()))


@app.command("run-now", help=N_("Run a job now and wait for its end; its row, limit and log are as ever."))
def run_now(
    ctx: typer.Context,
    job: JobArgument,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Run a job."""
    site = configuration_file.site(ctx.obj)
    plan = by_hand.plan(site, job)
    if dry_run:
        screen.show_screen(escape.command(plan.title))
        return
    obtain(plan, Consent(yes=yes), lambda: scheduler.tell(plan.title))
    with screen.progress(_("{job} goes on…").format(job=job)):
        ended = by_hand.run(site, job, scheduler.tell)
        is_watched = sys.stdin.isatty() and sys.stderr.isatty()
        for note in () if is_watched else announcing.attempt(site, bulletin, (ended,)):
            scheduler.tell(note)
    is_quiet = global_options.current().quiet and ended.state == OK
    if not is_quiet or output is not Output.HUMAN:
        screen.show_table(by_hand.table_of(ended, site), output)
    failed = {TIMED_OUT: 2, SKIPPED: LOCKED}
    code = 0 if ended.state == OK else failed.get(ended.state, ended.exit_code or 2)
    raise typer.Exit(Answered(code if 0 <= code < 128 else 2))
