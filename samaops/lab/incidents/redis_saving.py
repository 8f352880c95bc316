"""Runbook redis-full: Redis has memory and refuses writes, because what it holds no longer reaches the disk."""

from __future__ import annotations

from redis.exceptions import RedisError, ResponseError

from samaops.i18n import N_, _
from samaops.lab import compose
from samaops.lab.incidents import containers, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.redis import CONTAINER
from samaops.lab.incidents.site import Site
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

SAVE_SECONDS = 10.0
# A directory where the dump belongs: Redis writes the new one aside and cannot put it in its place.
BLOCK = "test -d dump.rdb || { rm -f dump.rdb && mkdir dump.rdb; }"
CLEAR = "if test -d dump.rdb; then rmdir dump.rdb; fi"


def _block_saving(site: Site) -> None:
    containers.shell(site, CONTAINER, _directory(site), BLOCK)
    _save(expected=False)


def _directory(site: Site) -> str:
    return compose.redis_directory(site.server(containers.server_of(CONTAINER)), site.states.state.mode)


def _save(*, expected: bool) -> None:
    """Let Redis save in the background. Raises StartError when that does not end as expected."""
    with traffic.redis_of() as client:
        before = client.info("persistence")["rdb_saves"]
        client.bgsave(schedule=True)

        def ended() -> bool:
            now = client.info("persistence")
            is_over = not now["rdb_bgsave_in_progress"]
            return is_over and (now["rdb_last_bgsave_status"] == "ok") is expected

        if not wait_until(ended, SAVE_SECONDS):
            text = _("the save did not end as it must; saves before: {count}")
            raise StartError(text.format(count=before))


def _refuses_writes(_site: Site) -> str | None:
    try:
        with traffic.redis_of() as client:
            client.set("samaops:lab:probe", "x", ex=1)
    except ResponseError as error:
        return f"SET: {error}" if str(error).startswith("MISCONF") else None
    except RedisError:
        return None
    return None


def _save_again(site: Site) -> None:
    if containers.is_stopped(site, CONTAINER):
        containers.start(site, CONTAINER)  # it would not be called ready before: even PING is refused
    containers.shell(site, CONTAINER, _directory(site), CLEAR)
    _save(expected=True)
    with traffic.redis_of() as client:
        client.config_resetstat()


INCIDENTS = (
    Incident(
        id="redis-refusing-writes",
        runbook="redis-full",
        title=N_("Redis cannot save and refuses writes"),
        does=N_(
            "A directory stands where Redis puts its dump: the background save fails, and Redis says MISCONF."
        ),
        notice=N_("Nothing is cached and no notification's result is stored; memory is free."),
        root=Root("redis-refusing-writes", "redis/workers"),
        break_=_block_saving,
        is_live=_refuses_writes,
        heal=_save_again,
    ),
)
