"""`samaops restore`."""

from __future__ import annotations

import typer

from samaops.cli import backup_objects

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def _group() -> None:
    pass


backup_objects.add_to_restore(app)
