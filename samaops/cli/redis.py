"""`samaops redis`: look at Redis and who has its memory, change it, or open its own program."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.redis.keys import DAY_SECONDS, EXPIRE_RATE, TAKE_RATE
from samaops.cli import configuration_file
from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.clients import interactive
from samaops.i18n import N_
from samaops.workflows.redis import bigkeys as of_bigkeys
from samaops.workflows.redis import clients as of_clients
from samaops.workflows.redis import info as of_info
from samaops.workflows.redis import memory as of_memory
from samaops.workflows.redis import slowlog as of_slowlog

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
LimitOption = Annotated[
    int,
    typer.Option("--limit", metavar="N", min=1, max=10_000, help=N_("How many rows at most, worst first.")),
]
_HELP_OF_RATE = N_("How many keys a second at most: the limit of the load on Redis.")
RateOption = Annotated[
    float,
    typer.Option(
        "--rate",
        metavar="KEYS",
        min=100,
        max=10_000_000,
        help=_HELP_OF_RATE,
    ),
]


@app.command(cls=LookCommand, help=N_("Whether it takes writes, how full it is, who asks, how it saves."))
def info(ctx: typer.Context) -> None:
    """Show Redis in a dozen lines."""
    ctx.obj.show(of_info.info)


@app.command(cls=LookCommand, help=N_("Who has its memory: keys by how they begin, their expiry and growth."))
def memory(
    ctx: typer.Context,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", metavar="KEYS", min=0, help=N_("How many keys are looked at, by chance; 0: all.")
        ),
    ] = 20_000,
    rate: RateOption = 50_000,
    limit: LimitOption = 20,
) -> None:
    """Show who has the memory."""
    ctx.obj.show(lambda site: of_memory.memory(site, of_memory.Wanted(sample, rate, limit)))


@app.command(cls=LookCommand, help=N_("Find the largest keys, in one pass that blocks nobody."))
def bigkeys(
    ctx: typer.Context,
    limit: LimitOption = 10,
    rate: RateOption = 400_000,
    within: Annotated[
        float,
        typer.Option("--within", metavar="SECONDS", min=1, max=3600, help=N_("For how long at most.")),
    ] = 300.0,
) -> None:
    """Show the largest keys."""
    passed = of_bigkeys.Passed()
    wanted = of_bigkeys.Wanted(limit, rate, within)

    def anew() -> of_bigkeys.Passed:
        passed.seen, passed.bytes, passed.is_whole = 0, 0, False
        return passed

    ctx.obj.show(lambda site: of_bigkeys.bigkeys(site, wanted, anew()), latest=passed.words)


@app.command(cls=LookCommand, help=N_("List the commands that took longest, without what they carried."))
def slowlog(ctx: typer.Context, limit: LimitOption = 20) -> None:
    """List slow commands."""
    ctx.obj.show(lambda site: of_slowlog.slowlog(site, limit))


@app.command(cls=LookCommand, help=N_("List the clients, those that cost most memory first."))
def clients(
    ctx: typer.Context,
    sort: Annotated[str, typer.Option("--sort", metavar="BY", help=N_("memory, idle or age."))] = "memory",
    limit: LimitOption = 20,
) -> None:
    """List the clients."""
    ctx.obj.show(lambda site: of_clients.clients(site, sort, limit))


@app.command(
    "set-maxmemory",
    cls=ChangeCommand,
    help=N_("Set how much memory it may use, if its container and its server have it."),
)
def set_maxmemory(
    ctx: typer.Context,
    amount: Annotated[str, typer.Argument(metavar="BYTES", help=N_("As Redis writes it: 200mb, 2gb."))],
) -> None:
    """Set maxmemory."""
    ctx.obj.change("redis set-maxmemory", amount)


@app.command("set-policy", cls=ChangeCommand, help=N_("Set what it evicts when its memory is full."))
def set_policy(
    ctx: typer.Context,
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help=N_("One of Redis's eight: allkeys-lru, noeviction, …"))
    ],
) -> None:
    """Set the policy of eviction."""
    ctx.obj.change("redis set-policy", policy)


@app.command(cls=ChangeCommand, help=N_("Give the keys that begin so and never expire an expiry, in slices."))
def expire(
    ctx: typer.Context,
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="PREFIX", help=N_("How they begin, see samaops redis memory; or *.END, how they end.")
        ),
    ],
    after: Annotated[
        int,
        typer.Option(
            "--after", metavar="SECONDS", help=N_("After how long they end, spread over a tenth more.")
        ),
    ] = DAY_SECONDS,
    rate: RateOption = float(EXPIRE_RATE),
) -> None:
    """Give keys an expiry."""
    ctx.obj.change("redis expire", prefix, str(after), f"{rate:g}")


@app.command(cls=ChangeCommand, help=N_("Take one key, or all that begin so, out of it, into a file."))
def unlink(
    ctx: typer.Context,
    key: Annotated[
        str, typer.Argument(metavar="KEY|PREFIX*", help=N_("One key, or how they begin, with a star."))
    ],
    rate: RateOption = float(TAKE_RATE),
) -> None:
    """Export and unlink keys."""
    ctx.obj.change("redis unlink", key, f"{rate:g}")


@app.command("kill-client", cls=ChangeCommand, help=N_("End one connection."))
def kill_client(
    ctx: typer.Context,
    client: Annotated[
        str, typer.Argument(metavar="ID|ADDRESS", help=N_("Of samaops redis clients: 42, or 10.0.0.7:41234."))
    ],
) -> None:
    """End a connection."""
    ctx.obj.change("redis kill-client", client)


@app.command("purge-memory", cls=ChangeCommand, help=N_("Let its allocator give back what nobody uses."))
def purge_memory(ctx: typer.Context) -> None:
    """Give memory back."""
    ctx.obj.change("redis purge-memory")


@app.command(cls=ChangeCommand, help=N_("Let it save to disk now, and wait for the end."))
def save(ctx: typer.Context) -> None:
    """Save."""
    ctx.obj.change("redis save")


@app.command(cls=ChangeCommand, help=N_("Take all keys of its database out of it, into a file."))
def flush(ctx: typer.Context, rate: RateOption = float(TAKE_RATE)) -> None:
    """Export and unlink all keys."""
    ctx.obj.change("redis flush", f"{rate:g}")


@app.command(help=N_("Run redis-cli on Redis, with the configured user and password."))
def cli(
    ctx: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- ARGUMENTS]", help=N_("Those of redis-cli: info memory."), show_default=False
        ),
    ] = None,
) -> None:
    """Run redis-cli."""
    interactive.become(interactive.redis_cli(configuration_file.site(ctx.obj).settings, arguments or ()))
