"""What every ``--help`` and the manual say besides the options: examples, and what the exit codes mean."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from samaops.i18n import N_, _, joined

EXIT_CODES = {
    0: N_("ok, or done"),
    1: N_("warning"),
    2: N_("critical, or failed"),
    3: N_("unknown: could not look"),
    64: N_("wrong command line"),
    69: N_("nothing could be reached"),
    70: N_("a bug in samaops"),
    75: N_("another run holds the lock"),
    77: N_("refused or not confirmed: nothing was changed"),
    78: N_("wrong configuration"),
    130: N_("interrupted"),
}
_ALWAYS = (64, 69, 70, 78, 130)
_STATUS, _CHANGE = (0, 1, 2, 3, *_ALWAYS), (0, 2, *_ALWAYS, 75, 77)
# What a command ends with that is neither a plain list (0, 3) nor a plain change (it has --dry-run).
_OWN_CODES = {
    "diagnose": _STATUS,
    "network": (*_STATUS, 77),
    "troubleshoot": (*_STATUS, 75, 77),
    **dict.fromkeys(
        ("maintain daily", "maintain weekly", "maintain monthly", "maintain run"), (*_STATUS, 75, 77)
    ),
    **dict.fromkeys(
        (
            "backup drill",
            "restore db",
            "restore table",
            "restore undo",
            "restore forget",
            "restore config",
            "restore broker",
            "rollback db",
        ),
        (*_STATUS, 75, 77),
    ),
    **dict.fromkeys(("backup create", "backup verify", "backup prune"), (*_STATUS, 75, 77)),
    **dict.fromkeys(("db vacuum", "db analyze", "db reindex", "db optimize"), (*_STATUS, 75, 77)),
    "schedule run-now": (*_STATUS, 75, 77),
    "schedule run": (*_ALWAYS, 75),
    **dict.fromkeys(("checklist run", "checklist report"), _STATUS),
    **dict.fromkeys(("report availability", "report kpi", "report capacity", "report monthly"), _STATUS),
    "doctor": _STATUS,
    "sites": (0, 3, *_ALWAYS),
    "config check": _STATUS,
    "lab up": (0, 1, 64, 69, 70, 75, 77, 130),
    "lab status": (0, 1, 2, 64, 70, 130),
}
# The words of each example are parsed by a test; names are those of the guide, which are the lab's too.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "diagnose": (
        ("diagnose", N_("everything, the root cause first")),
        ("diagnose --only redis,docker@workers", N_("Redis, and the containers of one server")),
        ("diagnose --watch 10 --lang fr", N_("again and again, in French")),
        ("diagnose --sites all", N_("several sites side by side")),
        ("diagnose -o nagios --fail-on critical", N_("for Nagios, Icinga or Centreon")),
    ),
    "explain": (
        ("explain redis.memory.high", N_("what a finding means, and what to do")),
        ("explain worker-down", N_("a root cause, with its fixes")),
        ("explain --graph", N_("how all causes hang together")),
    ),
    "troubleshoot": (
        ("troubleshoot list", N_("the symptoms that have a playbook")),
        ("troubleshoot notifications", N_("why no notification arrives")),
        ('troubleshoot --symptom "502 Bad Gateway"', N_("by what people notice")),
        ("troubleshoot api-down --bundle api.json", N_("keep what was seen, for others")),
        ("troubleshoot show api-down -o markdown", N_("a page to print")),
        ("troubleshoot notifications --apply workers.restart", N_("make one fix, after a yes")),
    ),
    "maintain daily": (
        ("maintain daily", N_("all daily tasks, as cron does them")),
        ("maintain daily --only backup --dry-run", N_("one task, changing nothing")),
    ),
    "silence": (
        ("silence redis.memory.high --for 4h --reason 'migration'", N_("of all subjects, for four hours")),
        ("silence servers.disk.full servers/db:/ --for 1d --reason disk", N_("of one")),
        ("silence list", N_("what is silenced, by whom and why")),
        ("silence end 3", N_("before its time")),
    ),
    "notify test": (
        ("notify test", N_("one marked message by each channel")),
        ("notify test --to slack", N_("by one of them")),
        ("notify test --dry-run", N_("where it would go; nothing is sent")),
    ),
    "maintain sample": (
        ("maintain sample", N_("one look now, kept for the reports")),
        ("maintain sample --minutes 60", N_("one each minute for an hour, in one process")),
    ),
    "report availability": (
        ("report availability", N_("the last whole month")),
        ("report availability --since 7d -o markdown", N_("the last seven days, to paste")),
    ),
    "report kpi": (("report kpi --month 2026-10", N_("one month against the guide's objectives")),),
    "report monthly": (
        ("report monthly", N_("the last whole month")),
        ("report monthly --month 2026-10 -o html --to october.html", N_("one file, to hand on or print")),
    ),
    "report incident": (
        ("report incident --since 03:00 --until 04:00", N_("last night, in its order")),
        ("report incident --since 2h -o markdown", N_("until now, to paste")),
    ),
    "report capacity": (("report capacity --since 90d", N_("by the days of the last three months")),),
    "schedule run": (("schedule run", N_("in the foreground, until it is ended")),),
    "schedule list": (("schedule list", N_("what is next, and how the last one ended")),),
    "schedule explain": (("schedule explain backup", N_("the next five, the last five, why not")),),
    "schedule pause": (
        ("schedule pause weekly --for 2h --reason 'migration'", N_("left out meanwhile, with this reason")),
        ("schedule pause all --until 2026-12-26 --reason holidays", N_("every job, until then")),
    ),
    "schedule resume": (("schedule resume weekly", N_("before its pause ends")),),
    "schedule run-now": (("schedule run-now daily --yes", N_("now, with its row in the ledger")),),
    "schedule install": (
        ("schedule install systemd --dry-run", N_("the unit of the scheduler, to read")),
        ("schedule install systemd /etc/systemd/system --timers", N_("a timer for each job in its place")),
    ),
    "schedule uninstall": (("schedule uninstall /etc/systemd/system", N_("what install wrote there")),),
    "schedule import": (("schedule import /etc/cron.d/samaconso --dry-run", N_("the difference alone")),),
    "checklist list": (("checklist list", N_("what is left, list by list")),),
    "checklist show": (("checklist show installation", N_("what closes each item")),),
    "checklist run": (
        ("checklist run before", N_("a week before: servers, network, security")),
        ("checklist run installation -o markdown", N_("for a ticket")),
    ),
    "checklist sign": (("checklist sign tests push --note tried --by awa", N_("what no program can see")),),
    "checklist measure": (
        ("checklist measure load --lab", N_("1,000 requests at once, on the lab")),
        ("checklist measure member --lab --dry-run", N_("what would be stopped")),
    ),
    "checklist unsign": (("checklist unsign tests push", N_("it is open again")),),
    "checklist report": (
        ("checklist report", N_("go or no-go, of the three lists before the go-live")),
        ("checklist report -o html --to meeting.html", N_("one file, to show, print or hand on")),
        ("checklist report go-live -o markdown", N_("one list alone, to paste")),
    ),
    "maintain weekly": (
        ("maintain weekly --yes", N_("all weekly tasks, but nothing that loses data")),
        ("maintain weekly --yes --confirm dakar", N_("and backups that have expired are removed")),
        ("maintain weekly --dry-run", N_("what would be changed")),
    ),
    "maintain monthly": (
        ("maintain monthly --yes", N_("all monthly tasks, a restore for a trial too")),
        ("maintain monthly --only updates,access", N_("two of them")),
    ),
    "maintain run": (("maintain run rotation --dry-run", N_("one task, changing nothing")),),
    "maintain list": (("maintain list", N_("what is done every day, week and month, and how it ended")),),
    "workers list": (("workers list", N_("who is connected, and consumes what")),),
    "workers queues": (("workers queues", N_("which queue nobody consumes")),),
    "workers add-queue": (
        ("workers add-queue worker2 low_priority", N_("let worker2 consume low_priority too")),
    ),
    "workers restart": (("workers restart worker2", N_("its tasks may end first")),),
    "workers scale": (("workers scale worker2 --add 2", N_("two more processes")),),
    "workers revoke": (
        ("workers revoke 6638a7c1-0e3f-4a52-9d1b-7f5f2c8e4a10 --terminate", N_("end a stuck task")),
    ),
    "queue list": (("queue list", N_("what waits where, and who consumes it")),),
    "queue peek": (("queue peek low_priority --count 3", N_("the first three messages")),),
    "queue export": (("queue export low_priority --to messages.jsonl", N_("all that wait, into a file")),),
    "queue purge": (
        ("queue purge low_priority --dry-run", N_("the plan alone")),
        ("queue purge low_priority --confirm low_priority", N_("without a question, in a script")),
    ),
    "queue park": (("queue park normal --redelivered", N_("what kills its worker, out of the way")),),
    "queue unpark": (("queue unpark normal", N_("all that is parked, back to its queue")),),
    "queue clear-policy": (("queue clear-policy normal", N_("drop no more messages")),),
    "queue set-watermark": (("queue set-watermark 0.5", N_("half of its memory")),),
    "db activity": (
        ("db activity", N_("who does what, and for how long")),
        ("db activity --state waiting --watch 2", N_("only those that wait, again and again")),
    ),
    "db locks": (
        ("db locks", N_("who waits for whom, and what to end")),
        ("db locks --watch 2", N_("again and again")),
    ),
    "db connections": (
        ("db connections", N_("by state, user, client and application")),
        ("db connections --by user,application", N_("these two together")),
    ),
    "db cache": (
        ("db cache", N_("over ten seconds")),
        ("db cache --over 60 --limit 50", N_("over a minute, more relations")),
        ("db cache --since-reset", N_("at once, since the counters began")),
    ),
    "db xmin": (("db xmin", N_("why dead rows stay")),),
    "db wraparound": (
        ("db wraparound", N_("how far it is to the forced vacuum")),
        ("db wraparound --over 60", N_("at the rate of the next minute")),
    ),
    "db settings": (
        ("db settings", N_("what is not as in the guide, or was changed")),
        ("db settings autovacuum", N_("all with that in their name, and where each is set")),
    ),
    "db progress": (
        ("db progress", N_("how far long work is")),
        ("db progress --watch 2", N_("again and again, until Ctrl-C")),
    ),
    "db vacuum": (
        ("db vacuum --dry-run", N_("which tables need it, and why")),
        ("db vacuum --window 02:00-05:00 --yes", N_("at night, over at five")),
        (
            "db vacuum --full public.notifications",
            N_("its space back to the disk; nobody reaches it meanwhile"),
        ),
    ),
    "db analyze": (("db analyze public.notifications", N_("what the planner knows of one table")),),
    "db reindex": (
        ("db reindex --dry-run", N_("which indexes need it, and why")),
        ("db reindex public.notifications --wait 30", N_("all of one table, waiting for nobody longer")),
    ),
    "db optimize": (("db optimize --window 02:00-05:00 --yes", N_("all that needs it, once a month")),),
    "db cancel": (("db cancel 12345", N_("after a yes; its session stays")),),
    "db size": (
        ("db size", N_("the largest, and when the disk is full")),
        ("db size --sort growth --days 1", N_("what grew most since yesterday")),
    ),
    "db slow": (
        ("db slow", N_("what takes the time in the next 30 seconds")),
        ("db slow --since-reset --limit 50", N_("all that was counted so far, at once")),
    ),
    "db bloat": (
        ("db bloat", N_("an estimate, which reads no table")),
        ("db bloat --exact public.notifications", N_("one of them, measured")),
    ),
    "db indexes": (("db indexes", N_("useless ones and missing ones, with what speaks against")),),
    "db explain": (
        ("db explain 2577670717561330585", N_("the plan of a statement of db slow")),
        ("db explain -", N_("the plan of your own, typed or piped; it is not run")),
    ),
    "restore objects": (
        ("restore objects --dry-run", N_("what is missing or different since the newest copy")),
        ("restore objects --as-of 2026-11-27 --bucket documents", N_("one bucket as it was on that day")),
    ),
    "backup objects": (("backup objects", N_("what is new since the last copy")),),
    "backup copy": (("backup copy latest --to workers", N_("to one other place, and proved there")),),
    "pool pools": (
        ("pool pools", N_("who waits, and what is full")),
        ("pool pools --watch 2", N_("again and again")),
    ),
    "pool stats": (("pool stats --over 10", N_("measured for ten seconds")),),
    "pool clients": (("pool clients --state waiting", N_("those that wait, longest first")),),
    "pool servers": (("pool servers --state active", N_("which process of PostgreSQL works for whom")),),
    "pool databases": (("pool databases", N_("where each leads, which is paused")),),
    "pool settings": (("pool settings --all", N_("those with their default too")),),
    "pool set-size": (
        ("pool set-size 30", N_("for all databases without a size of their own")),
        ("pool set-size samaconso 30 --dry-run", N_("whether PostgreSQL has room for it")),
    ),
    "pool pause": (("pool pause samaconso --for 20", N_("for 20 s, even if samaops is killed")),),
    "pool resume": (("pool resume", N_("all that is paused")),),
    "pool reload": (("pool reload --dry-run", N_("what its file would change")),),
    "pool reconnect": (("pool reconnect samaconso", N_("new connections, no client is cut off")),),
    "pool kill": (("pool kill samaconso --for 5", N_("all its clients, after a yes")),),
    "pool disable": (("pool disable samaconso", N_("who is connected stays")),),
    "pool enable": (("pool enable samaconso", N_("new clients come in again")),),
    "db terminate": (
        ("db terminate 12345 --dry-run", N_("the plan alone: whose session, and who waits behind it")),
        ("db terminate --root", N_("what all the others wait for")),
        ("db terminate --idle-in-transaction 300", N_("idle in a transaction for five minutes")),
    ),
    "db index create": (
        ("db index create customers email", N_("its plan first: size, room on the disk, who is in the way")),
        ("db index create notifications customer_id created_at --wait 300", N_("of two columns")),
    ),
    "db index drop": (("db index drop customers_email_idx", N_("its definition is kept for samaops undo")),),
    "db checkpoint": (("db checkpoint --dry-run", N_("how much would be written")),),
    "db set": (("db set work_mem 16MB", N_("asked first; samaops undo brings the old value back")),),
    "db slot drop": (("db slot drop old_replica", N_("its name is typed: there is no undo")),),
    "docker ps": (("docker ps", N_("the containers of all servers")),),
    "docker stats": (("docker stats", N_("what each uses now")),),
    "docker logs": (("docker logs samaconso_redis --tail 50", N_("the last 50 lines")),),
    "release list": (("release list", N_("which release runs where, and which are kept")),),
    "release record": (("release record --dry-run", N_("what would be kept, and what let go")),),
    "release begin": (("release begin 2.1.0", N_("before the deployment of 2.1.0")),),
    "rollback check": (
        ("rollback check", N_("whether there is a way back, and what it would cost")),
        ("rollback check --to 2.0.0", N_("to one of the releases that are kept")),
    ),
    "rollback app": (
        ("rollback app --dry-run", N_("the plan alone: which container when, and how it is taken back")),
        ("rollback app --to 2.0.0 --wait 120", N_("two minutes for each new container to be well")),
    ),
    "disk usage": (
        ("disk usage", N_("who uses the disks of all servers, and whose it is")),
        ("disk usage --server db /data", N_("what lies below one directory")),
    ),
    "disk grew": (
        ("disk grew --server db", N_("who grew since yesterday, and when it is full")),
        ("disk grew --since 7d", N_("at once, by what the daily maintenance has kept")),
    ),
    "disk clean": (
        ("disk clean --server workers --dry-run", N_("what can be given back without losing anything")),
        ("disk clean --server workers --only journal", N_("the oldest of the journal, by name")),
    ),
    "disk abort-uploads": (
        ("disk abort-uploads --dry-run", N_("which uploads were never finished, how old and how large")),
        (
            "disk abort-uploads uploads --older-than 72",
            N_("abort those of one bucket that are older than three days"),
        ),
    ),
    "disk reserve": (
        ("disk reserve --server db --mount /data --size 500M", N_("keep a reserve for an emergency")),
        ("disk reserve --server db --give-up", N_("and give it up: its space is free at once")),
    ),
    "rollback db": (
        ("rollback db --dry-run", N_("the plan alone: the SQL of the way down, and what it would take away")),
        ("rollback db --to 2.0.0 --confirm samaconso", N_("without a question")),
    ),
    "docker cleanup": (("docker cleanup workers --dry-run", N_("which images would go, on one server")),),
    "network": (
        ("network", N_("every line of the matrix, the worst first")),
        ("network --from workers", N_("only what begins on one server")),
        ("network --rules db", N_("the rules it asks of a server; nothing is applied")),
    ),
    "balancer list": (("balancer list", N_("who serves, and who was taken out")),),
    "balancer drain": (
        ("balancer drain api_1", N_("it gets nothing new; its requests may end")),
        ("balancer drain api_1 --within 120", N_("for requests that take long")),
    ),
    "balancer enable": (("balancer enable api_1", N_("if it serves its health path")),),
    "backup create": (
        ("backup create --dry-run", N_("the plan alone: how much, how long, what is left out")),
        ("backup create --yes", N_("without a question, as cron does it")),
    ),
    "backup drill": (
        ("backup drill", N_("try the newest, and say how long a restore takes")),
        ("backup drill --yes", N_("without a question, as cron does it")),
    ),
    "restore db": (
        ("restore db latest --dry-run", N_("the plan alone: what would be lost")),
        ("restore db latest --confirm samaconso", N_("the newest backup, without a question")),
        ("restore db --to '2026-11-28 14:30:00'", N_("as it was at that moment (pgBackRest)")),
    ),
    "restore table": (
        (
            "restore table customers --as customers_before",
            N_("the rows of the last backup, beside those of now"),
        ),
        ("restore table customers --as customers", N_("a table that was dropped by mistake")),
        ("restore table customers --as customers_7 --where id=7", N_("only these rows")),
        (
            "restore table customers --as customers_then --to '2026-11-28 14:30'",
            N_("as it was at that moment (pgBackRest)"),
        ),
    ),
    "restore config": (
        ("restore config --dry-run", N_("which files are others in the newest backup, line by line")),
        (
            "restore config /etc/pgbouncer/pgbouncer.ini --server db",
            N_("this one; samaops undo last puts back what is there now"),
        ),
    ),
    "restore broker": (
        ("restore broker --dry-run", N_("what RabbitMQ lacks, and what it has otherwise")),
        ("restore broker queues bindings", N_("these alone; nothing that is there is changed")),
    ),
    "restore undo": (("restore undo", N_("back to the database that was replaced last")),),
    "restore forget": (
        (
            "restore forget samaops_replaced_20261128_030000_0a1b2c3d",
            N_("drop one that is not needed any more"),
        ),
    ),
    "restore list": (("restore list", N_("what is kept, and until when")),),
    "backup list": (("backup list", N_("what there is, and how far each is proved")),),
    "backup show": (("backup show latest", N_("what the newest holds")),),
    "backup verify": (
        ("backup verify", N_("read the newest through to its end")),
        ("backup verify --all --grade stored --yes", N_("the sums of all, as cron does it")),
    ),
    "backup prune": (
        ("backup prune --dry-run", N_("what has expired")),
        ("backup prune --confirm samaconso", N_("without a question, as cron does it")),
    ),
    "backup pin": (("backup pin latest --reason audit-2026", N_("keep it whatever its age")),),
    "backup unpin": (("backup unpin 20261128T020000Z-3f2a", N_("let it expire in its time")),),
    "docker set-limit": (
        ("docker set-limit samaconso_api_1 768m", N_("at once, and until it is made anew")),
    ),
    "docker restart": (("docker restart samaconso_redis", N_("asked first, verified afterwards")),),
    "docker roll": (
        ("docker roll api", N_("one member after the other, each spared by the balancer meanwhile")),
        ("docker roll api --limit api --dry-run", N_("the plan alone, for the members of one server")),
        ("docker roll workers --within 600", N_("where a task may take ten minutes")),
    ),
    "history list": (("history list --limit 5", N_("the last five changes")),),
    "history show": (("history show 20260131-031200-a1b2", N_("each step of one, before and after")),),
    "undo": (
        ("undo 20260131-031200-a1b2 --dry-run", N_("what taking it back would do")),
        ("undo last", N_("the newest change")),
    ),
    "config init": (("config init", N_("an example, to be filled in")),),
    "config check": (
        ("config check", N_("each fault with its place")),
        ("config check --connect", N_("each system, with the configured log-in")),
    ),
    "config upgrade": (("config upgrade --dry-run", N_("which line it would put where")),),
    "config show": (("config show -o json", N_("every value, and where it comes from")),),
    "config schema": (("config schema", N_("for an editor that completes TOML")),),
    "config path": (("config path", N_("which file is used")),),
    "sites": (
        ("sites", N_("which sites there are, and how each was found last")),
        ("diagnose --sites all", N_("all of them side by side")),
    ),
    "docs": (
        ("docs", N_("every page, with what it is about")),
        ("docs backup", N_("one page, in the terminal")),
        ("docs --site /tmp/samaops-docs", N_("all of them, for a browser")),
    ),
    "doctor": (("doctor", N_("what this machine lacks")),),
    "ssh": (
        ("ssh db", N_("log in")),
        ("ssh db -- df -h /data", N_("one command there")),
    ),
    "db psql": (
        ("db psql", N_("a session, as samaops' own user")),
        ("db psql -- -c 'SELECT version()'", N_("one statement")),
        ("db psql --pool -- -c 'SHOW POOLS'", N_("PgBouncer's console")),
    ),
    "redis info": (("redis info --watch 2", N_("again and again")),),
    "redis memory": (
        ("redis memory", N_("a sample, with what it leaves open")),
        ("redis memory --sample 0", N_("all keys, exactly")),
    ),
    "redis bigkeys": (("redis bigkeys --rate 50000", N_("slowly, while customers are busy")),),
    "redis slowlog": (("redis slowlog", N_("the slowest first")),),
    "redis clients": (("redis clients --sort idle", N_("who is idle longest")),),
    "redis set-maxmemory": (("redis set-maxmemory 2gb --dry-run", N_("whether there is room for it")),),
    "redis set-policy": (("redis set-policy allkeys-lru", N_("the guide's policy")),),
    "redis expire": (
        ("redis expire celery-task-meta- --after 86400", N_("results end within a day; undo takes it back")),
    ),
    "redis unlink": (
        ("redis unlink samaconso:export:2024", N_("one key, into a file first")),
        ("redis unlink 'samaconso:old:*' --dry-run", N_("how many begin so")),
    ),
    "redis kill-client": (("redis kill-client 42", N_("by its id, see samaops redis clients")),),
    "redis purge-memory": (("redis purge-memory", N_("what its allocator keeps")),),
    "redis save": (("redis save", N_("in the background, waited for")),),
    "redis flush": (("redis flush --dry-run", N_("what would be taken out, and where it would go")),),
    "redis cli": (("redis cli -- INFO memory", N_("one command of Redis")),),
    "lab up": (("lab up", N_("start it, or what of it does not run")),),
    "lab down": (("lab down", N_("stop it, and remove every trace")),),
    "lab status": (("lab status", N_("each part, its address and state")),),
    "lab release": (("lab release next", N_("the release after the one that runs")),),
    "lab load": (("lab load --seconds 60 --rate 20", N_("real requests for a minute")),),
    "lab break": (("lab break redis-stopped", N_("then: samaops --lab diagnose")),),
    "lab heal": (("lab heal", N_("end all that is broken")),),
    "lab incidents": (("lab incidents", N_("what can be broken on purpose")),),
}
_MOST_OF_A_GROUP = 4
_WIDTH = 78


def examples(path: str) -> tuple[tuple[str, str], ...]:
    """Return the examples of a command, or some of a group's: the first of each command in it."""
    if path in EXAMPLES:
        return EXAMPLES[path]
    below = [found[0] for name, found in EXAMPLES.items() if not path or name.startswith(f"{path} ")]
    return tuple(below[:_MOST_OF_A_GROUP])


def exit_codes(path: str, command: Any) -> tuple[int, ...]:
    """Return what a command ends with; a group with what any of its commands does."""
    children = getattr(command, "commands", {})
    if children or not path:
        below = [exit_codes(f"{path} {name}".strip(), child) for name, child in children.items()]
        return tuple(sorted({code for codes in below for code in codes})) or tuple(EXIT_CODES)
    is_change = any(param.name == "dry_run" for param in command.params)
    return _OWN_CODES.get(path) or (_CHANGE if is_change else (0, 3, *_ALWAYS))


def add_to(command: Any, path: str) -> None:
    """Let the help of a command, and of all under it, end with its examples and exit codes."""
    command.format_help = _ending(command.format_help, lambda: _end(path, command))
    for name, child in getattr(command, "commands", {}).items():
        add_to(child, f"{path} {name}".strip())


def _ending(format_help: Callable[[Any, Any], None], end: Callable[[], Iterator[str]]) -> Any:
    def formatted(ctx: Any, formatter: Any) -> None:
        format_help(ctx, formatter)
        for line in end():
            sys.stdout.write(f"{line}\n")

    return formatted


def _end(path: str, command: Any) -> Iterator[str]:
    yield " " + _("Examples")
    for words, meaning in examples(path):
        yield f"   samaops {words}"
        yield "       " + _(meaning)
    yield ""
    yield " " + _("Exit codes")
    codes = joined(" ".join((str(code), _(EXIT_CODES[code]))) for code in sorted(exit_codes(path, command)))
    yield from textwrap.wrap(codes, _WIDTH, initial_indent="   ", subsequent_indent="   ")
    yield ""
