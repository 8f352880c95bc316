"""The group of all commands of `samaops db`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

# Names that people bring along from pg-extras, Heroku and pg_activity, with what they are called here. A name is
# known as soon as there is a command to which it leads; it stands in no help, and is offered by no completion.
ALIASES: dict[str, tuple[str, ...]] = {
    "all_locks": ("locks",),
    "blocking": ("locks",),
    "cache_hit": ("cache",),
    "calls": ("slow",),
    "db_settings": ("settings",),
    "duplicate_indexes": ("indexes",),
    "index_cache_hit": ("cache",),
    "index_size": ("size",),
    "index_usage": ("indexes",),
    "kill": ("terminate",),
    "killall": ("terminate",),
    "kill_all": ("terminate",),
    "kill_pid": ("terminate",),
    "long_running_queries": ("activity", "--state", "active"),
    "missing_fk_indexes": ("indexes",),
    "null_indexes": ("indexes",),
    "outliers": ("slow",),
    "ps": ("activity",),
    "seq_scans": ("indexes",),
    "table_cache_hit": ("cache",),
    "table_indexes_size": ("size",),
    "table_size": ("size",),
    "top": ("activity",),
    "total_index_size": ("size",),
    "total_table_size": ("size",),
    "unused_indexes": ("indexes",),
    "user_connections": ("connections",),
    # which tables autovacuum is about to take, and why: the plan of ours says it, and changes nothing
    "vacuum_stats": ("vacuum", "--dry-run"),
}


class DatabaseGroup(TyperGroup):
    """A group that also takes the names of ``ALIASES``, with hyphens as well."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        words = ALIASES.get(args[0].replace("-", "_"), ())
        if args[0] not in self.commands and words and words[0] in self.commands:
            args = [*words, *args[1:]]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=DatabaseGroup,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
