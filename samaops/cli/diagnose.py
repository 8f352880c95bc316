"""`samaops diagnose`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from samaops.cli import configuration_file, exit_codes, repeat, screen, stdout, textfile
from samaops.cli.exit_codes import FailOn
from samaops.cli.global_options import Globals
from samaops.cli.options import OutputOption, completed_by
from samaops.cli.textfile import TextfileOption
from samaops.collect import store
from samaops.collect.sites import Asked
from samaops.errors import UsageError
from samaops.facts.selection import Selection
from samaops.i18n import N_, _
from samaops.journal import well
from samaops.model.description import CheckDescription
from samaops.model.report import Report
from samaops.render import descriptions, json
from samaops.render.faces import Output
from samaops.workflows import diagnose as workflow
from samaops.workflows import explain, since_well
from samaops.workflows.notify import marking
from samaops.workflows.sites import saved as saved_sites
from samaops.workflows.sites import together

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_LONGEST_SECONDS = 3600.0
Look = Callable[[], Report]


@app.command(cls=repeat.WatchCommand)
def diagnose(
    ctx: typer.Context,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="S,..",
            help=N_("Only these systems or checks; docker@api: on one server."),
            autocompletion=completed_by("selection"),
        ),
    ] = "",
    skip: Annotated[
        str,
        typer.Option(
            "--skip",
            metavar="S,..",
            help=N_("All but these systems or checks."),
            autocompletion=completed_by("selection"),
        ),
    ] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help=N_("Also look at what costs the systems something."))
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help=N_("Also write one marked value to each system, as the application does, and remove it."),
        ),
    ] = False,
    deadline: Annotated[
        float,
        typer.Option("--deadline", metavar="SECONDS", help=N_("The answer comes by then, whatever hangs.")),
    ] = 15.0,
    watch: Annotated[
        float | None,
        typer.Option("--watch", metavar="[SECONDS]", help=N_("Look again and again, until Ctrl-C.")),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", metavar="SECONDS", help=N_("Look until all is well, for so long at most.")),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help=N_("Keep what was seen, to be judged elsewhere.")),
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help=N_("Judge what was kept; look at nothing."))
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option(
            "--sites",
            metavar="all|A,..",
            help=N_("Look at these sites side by side, or at all; one report of them."),
            autocompletion=completed_by("sites"),
        ),
    ] = None,
    sites_from: Annotated[
        Path | None,
        typer.Option(
            "--sites-from",
            metavar="DIRECTORY",
            help=N_("Judge the looks that were kept of several sites, a file each."),
        ),
    ] = None,
    is_since_well: Annotated[
        bool,
        typer.Option("--since-well", help=N_("Show what is set up otherwise than when all was well.")),
    ] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help=N_("From which status on the exit code is not 0."))
    ] = FailOn.WARNING,
    list_checks: Annotated[
        bool,
        typer.Option("--list-checks", help=N_("List the checks with their thresholds; look at nothing.")),
    ] = False,
    textfile_: TextfileOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Find what is broken and why."""
    selection = Selection(_names(only), _names(skip), deep, probe)
    explain.require_known(selection)
    if list_checks:
        _list(explain.all_checks(selection), output)
        return
    textfile.check(textfile_)
    _check_seconds(deadline=deadline, watch=watch, wait=wait)
    _refuse_together(watch=watch, wait=wait, save=save, from_=from_, probe=probe or None)
    globals_: Globals = ctx.obj
    if sites is not None and not _names(sites):
        raise UsageError(_("--sites: name the sites, or all"), hint="samaops sites")
    _refuse_one_site(globals_, sites=sites, sites_from=sites_from, from_=from_, is_since_well=is_since_well)
    several = _names(sites or "") or _satellite(globals_, from_)
    if sites_from is not None:
        _refuse_together(from_=sites_from, watch=watch, wait=wait, save=save, probe=probe or None)
        look = _saved_sites(sites_from, selection)
    elif several:
        look = _sites_look(several, selection, deadline, save)
    elif from_ is not None:
        look = _saved_look(globals_, selection, from_, is_since_well=is_since_well)
    else:
        look = _live_look(globals_, selection, deadline, save, is_since_well=is_since_well)
    look = textfile.written(look, textfile_)
    verbose = globals_.verbose

    def code_of(report: Report) -> int:
        return exit_codes.of_report(report, fail_on)

    if watch is not None:
        repeat.watch(look, watch, output, repeat.face_of_reports(output, verbose=verbose))
    report = repeat.until_healthy(look, wait, code_of) if wait is not None else _once(look)
    screen.show(report, output, verbose=verbose)
    raise typer.Exit(code_of(report))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _check_seconds(**options: float | None) -> None:
    for name, seconds in options.items():
        if seconds is not None and not 0 < seconds <= _LONGEST_SECONDS:
            raise UsageError(
                _("--{name}: {seconds} is not between 0 and {most} seconds").format(
                    name=name, seconds=f"{seconds:g}", most=f"{_LONGEST_SECONDS:g}"
                )
            )


def _refuse_together(**options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    for option, other in (
        ("watch", "wait"),
        ("from_", "watch"),
        ("from_", "wait"),
        ("from_", "save"),
        ("from_", "probe"),
    ):
        if option in given and other in given:
            text = _("{one} and {other} exclude each other")
            raise UsageError(text.format(one=f"--{option.rstrip('_')}", other=f"--{other}"))


def _live_look(
    globals_: Globals,
    selection: Selection,
    deadline: float,
    save: Path | None,
    *,
    is_since_well: bool,
) -> Look:
    site = configuration_file.site(globals_)

    def look() -> Report:
        earlier = well.load(site.name)
        mark = marking.read_beside(site)
        snapshot = workflow.observe(site, selection, deadline)
        if save is not None:
            store.save(save, snapshot, site, selection, earlier)
        report = workflow.judge(snapshot, site, selection)
        if not is_since_well:  # asked twice, it is answered twice
            since_well.keep_if_well(report, snapshot, site, selection)
        together.keep_last(report, site, selection)
        return mark(since_well.compared(report, snapshot, site, earlier, is_asked=is_since_well))

    return look


def _satellite(globals_: Globals, saved: Path | None) -> tuple[str, ...]:
    """Return the site that is named, where only its own control machine can look at it."""
    if globals_.site is None or saved is not None:
        return ()
    return (globals_.site,) if configuration_file.read(globals_).settings.satellite else ()


def _refuse_one_site(globals_: Globals, **options: object) -> None:
    """Refuse what is about one configuration where several sites are asked for."""
    given = [name for name in ("sites", "sites_from") if options[name]]
    of_one = [f"--{name}" for name in ("site", "config", "lab") if getattr(globals_, name)]
    of_one += [f"--{name.rstrip('_')}" for name in ("from_",) if options[name]]
    of_one += ["--since-well"] if options["is_since_well"] else []
    for name in given:
        others = [*of_one, *(f"--{other.replace('_', '-')}" for other in given if other != name)]
        if others:
            text = _("{one} and {other} exclude each other")
            raise UsageError(text.format(one=f"--{name.replace('_', '-')}", other=others[0]))


def _sites_look(names: tuple[str, ...], selection: Selection, deadline: float, save: Path | None) -> Look:
    sites = together.chosen_sites(names)
    asked = Asked(selection, deadline, together.save_directory(save))
    return lambda: together.look(sites, asked)


def _saved_sites(directory: Path, selection: Selection) -> Look:
    return lambda: saved_sites.judge(directory, selection)


def _saved_look(globals_: Globals, selection: Selection, path: Path, *, is_since_well: bool) -> Look:
    is_given = globals_.config is not None or globals_.lab or globals_.site is not None
    site = configuration_file.site(globals_) if is_given else None
    return lambda: workflow.judge_saved(path, selection, site, is_since_well=is_since_well)


def _once(look: Look) -> Report:
    with screen.progress(_("Looking at everything…")):
        return look()


def _list(checks: tuple[CheckDescription, ...], output: Output) -> None:
    if output is Output.HUMAN:
        screen.show_screen(descriptions.table(checks))
    elif output is Output.JSON:
        stdout.write(json.text(descriptions.checks_document(checks)))
    else:
        raise screen.no_form(output)
