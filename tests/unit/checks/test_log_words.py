"""Which words of which system's log mean what, and which line of many is the decisive one."""

from __future__ import annotations

import pytest

from samaops.checks.log_words import KINDS, WORDS, kind_of, last_words, trouble
from samaops.facts.log import LogLine

NOW = 1_800_000_000.0
# system, the line as the system writes it, the kind ("" where it is no trouble)
LINES = [
    ("api", "ModuleNotFoundError: No module named 'samaconso_billing'", "module"),
    ("api", 'ERROR:    Error loading ASGI app. Could not import module "app.nope".', "module"),
    ("api", 'psycopg2.OperationalError: connection to server at "127.0.0.1", port 6432 failed: FATAL:  password '
            'authentication failed for user "samaconso_user"', "login"),
    ("api", "KeyError: 'DATABASE_URL'", "variable"),
    ("api", "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings", "variable"),
    ("api", "OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /etc/ssl/no.pem", "certificate"),
    ("api", 'sqlalchemy.exc.ProgrammingError: (psycopg2.errors.UndefinedTable) relation "bills" does not exist', "absent"),
    ("api", '2026-11-28 05:46:05,710 INFO uvicorn.access [1] 127.0.0.1:57766 - "GET /health HTTP/1.1" 200', ""),
    ("celery", "2026-11-28 05:49:32,306 ERROR celery.worker.consumer.consumer [1] consumer: Cannot connect to "
               "amqp://samaconso_admin:**@10.101.0.2:5672//: [Errno 111] Connection refused.", "refused"),
    ("celery", "(0, 0): (403) ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", "login"),
    ("celery", "amqp.exceptions.AccessRefused: Exchange.declare: (403) ACCESS_REFUSED - access to exchange 'samaconso' in "
               "vhost '/' refused for user 'samaconso_admin'", "rights"),
    ("celery", "amqp.exceptions.NotAllowed: Connection.open: (530) NOT_ALLOWED - vhost samaconso not found", "absent"),
    ("celery", "PermissionError: [Errno 13] Permission denied: '/app/logs/worker_1.log'", "rights"),
    ("celery", "OSError: [Errno 30] Read-only file system: '/app/logs/worker_1.log'", "read-only"),
    ("celery", "ValueError: Unknown level: 'VERBOSE'", "variable"),
    ("celery", "Error: Invalid value for '-l' / '--loglevel': 'VERBOSE' is not one of 'DEBUG', 'INFO'", "variable"),
    ("celery", "WARNING/MainProcess] Received and deleted unknown message.  Wrong destination?!?", "unknown message"),
    ("api", "ERROR app.api [1] rabbitmq unavailable: Basic.publish: (406) PRECONDITION_FAILED - message size 137 is larger than "
            "configured max size 64", "message size"),
    ("api", "OSError: [Errno 24] Too many open files", "process"),
    ("api", "RuntimeError: can't start new thread", "process"),
    ("celery", "redis.exceptions.ResponseError: DB index is out of range", "limit"),
    ("celery", "redis.exceptions.AuthenticationError: invalid username-password pair or user is disabled.", "login"),
    ("flower", "[W 261128 05:48:57 inspector:98] Inspect method conf failed", ""),
    ("postgresql", '2026-11-28 05:45:37.115 GMT [120] u@s FATAL:  pg_hba.conf rejects connection for host "10.0.0.1", user '
                   '"samaconso_user", database "samaconso", no encryption', "rejected"),
    ("postgresql", "FATAL:  aucune entrée dans pg_hba.conf pour l'hôte « 10.0.0.1 », utilisateur « samaconso_user »,", "rejected"),
    ("postgresql", "FATAL:  authentification par mot de passe échouée pour l'utilisateur  « samaconso_user »", "login"),
    ("postgresql", 'ERROR:  new row for relation "notifications" violates check constraint "sent_before"', "constraint"),
    ("postgresql", 'ERREUR:  la nouvelle ligne de la relation « n » viole la contrainte de vérification « c »', "constraint"),
    ("api", 'duplicate key value violates unique constraint "notifications_pkey"', "conflict"),
    ("pgbouncer", "closing because: server refused SSL (age=0s)", "tls"),
    ("postgresql", "FATAL:  trop de connexions pour le rôle « samaconso_user »", "limit"),
    ("postgresql", "FATAL:  désolé, trop de clients sont déjà connectés", "limit"),
    ("postgresql", "ERREUR:  droit refusé pour la table notifications", "rights"),
    ("postgresql", "ERREUR:  ne peut pas exécuter INSERT dans une transaction en lecture seule", "read-only"),
    ("postgresql", "ERREUR:  la relation « bills » n'existe pas", "absent"),
    ("postgresql", "PANIC:  n'a pas pu écrire dans le fichier « pg_wal/x » : Aucun espace disponible sur le périphérique", "space"),
    ("postgresql", 'PANIC:  could not write to file "pg_wal/xlogtemp.123": No space left on device', "space"),
    ("postgresql", 'ERROR:  could not extend file "base/16384/2619": Disk quota exceeded', "quota"),
    ("postgresql", "ERREUR:  n'a pas pu étendre le fichier « base/16384/2619 » : Débordement du quota d'espace disque", "quota"),
    ("celery", "OSError: [Errno 122] Disk quota exceeded: '/data/exports/bills.csv'", "quota"),
    ("postgresql", "ERROR:  cannot execute INSERT in a read-only transaction", "read-only"),
    ("postgresql", "2026-11-28 05:45:35.738 GMT [110] @ LOG:  checkpoint starting: immediate force wait", ""),
    ("pgbouncer", "2026-11-28 06:00:00.1 GMT [12] WARNING S-0x1: samaconso/u@10.0.0.1:5432 server login failed: FATAL: too "
                  'many connections for role "samaconso_user"', "limit"),
    ("pgbouncer", "WARNING C-0x1: samaconso/x@10.0.0.2:4711 pooler error: no such user: x", "login"),
    ("pgbouncer", "WARNING DNS lookup failed: db.internal: result=0", "host"),
    ("postgresql", 'ERROR:  prepared statement "_pg3_0" does not exist', "prepared"),
    ("postgresql", "ERREUR:  l'instruction préparée « S_1 » existe déjà", "prepared"),
    ("api", 'asyncpg.exceptions.DuplicatePreparedStatementError: prepared statement "__asyncpg_stmt_1__" already exists', "prepared"),
    ("postgresql", 'ERROR:  function prepared(integer) does not exist', "absent"),
    ("rabbitmq", "2026-11-28 05:45:59 [error] <0.1.0> PLAIN login refused: user 'samaconso_admin' - invalid credentials", "login"),
    ("rabbitmq", "2026-11-28 05:45:59 [warning] <0.1404.0> client unexpectedly closed TCP connection", ""),
    ("rabbitmq", "2026-11-28 05:45:59 [warning] <0.1.0> memory resource limit alarm set on node 'rabbit@x'.", "limit"),
    ("rabbitmq", "2026-11-28 05:46:08 [info] <0.1427.0> accepting AMQP connection <0.1427.0> (10.0.0.1:1 -> 10.0.0.2:2)", ""),
    ("redis", "1:M 28 Nov 2026 05:48:46.805 # Can't save in background: fork: Cannot allocate memory", "memory"),
    ("redis", "1:M 28 Nov 2026 05:48:46.805 # WARNING Memory overcommit must be enabled! Without it, a background save or "
              "replication may fail under low memory condition.", ""),
    ("", 'nginx: [emerg] host not found in upstream "api_1" in /etc/nginx/conf.d/a.conf:3', "host"),
    ("", "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", "port"),
]  # fmt: skip


@pytest.mark.parametrize(("system", "line", "kind"), LINES, ids=lambda value: str(value)[:40])
def test_a_line_is_understood(system: str, line: str, kind: str) -> None:
    assert kind_of(line, system) == kind


def test_every_kind_of_the_tables_has_its_words_for_people() -> None:
    assert {kind for rows in WORDS.values() for kind, _words in rows} <= set(KINDS)


def log(*texts: str, seconds_ago: float = 10.0) -> tuple[LogLine, ...]:
    return tuple(LogLine(NOW - seconds_ago, text) for text in texts)


def test_the_end_of_an_exception_chain_is_the_decisive_line() -> None:
    lines = log(
        "Traceback (most recent call last):",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "During handling of the above exception, another exception occurred:",
        '  File "/app/app/api.py", line 3, in <module>',
        "app.billing.TariffExpiredError: the tariff of 2025 is closed",
        "INFO:     Waiting for application startup.",
    )
    reason = last_words(lines, "api", NOW - 900)
    assert reason is not None
    assert (reason.kind, reason.line) == ("", "app.billing.TariffExpiredError: the tariff of 2025 is closed")


def test_our_own_requests_are_no_trouble() -> None:
    lines = log(
        '2026-11-28 05:45:37 GMT [1] samaops@samaconso FATAL:  password authentication failed for user "samaops"',
        "2026-11-28 05:45:59 [warning] <0.1.0> HTTP access denied: user 'samaconso_admin' - invalid credentials",
        '10.0.0.9 - - "GET /x HTTP/1.1" 403 permission denied "samaops/0.9"',
    )
    assert trouble(lines, "postgresql", NOW - 900) is None
    assert trouble(lines, "rabbitmq", NOW - 900) is None


def test_what_is_over_is_no_trouble_and_what_is_old_neither() -> None:
    refused = "consumer: Cannot connect to amqp://u:**@10.0.0.2:5672//: [Errno 111] Connection refused."
    assert trouble(log(refused, "Connected to amqp://u:**@10.0.0.2:5672//"), "celery", NOW - 900) is None
    assert trouble(log(refused, seconds_ago=1000), "celery", NOW - 900) is None
    assert trouble(log("Connected to amqp://u:**@10.0.0.2:5672//", refused), "celery", NOW - 900) is not None


def test_the_rule_that_refused_is_told_with_the_refusal() -> None:
    lines = log(
        'FATAL:  password authentication failed for user "samaconso_user"',
        'DETAIL:  Connection matched pg_hba.conf line 5: "host all all 0.0.0.0/0 scram-sha-256"',
    )
    reason = trouble(lines, "postgresql", NOW - 900)
    assert reason is not None
    assert "pg_hba.conf line 5" in reason.line


@pytest.mark.parametrize(
    ("text", "times", "seconds_ago", "is_still_so"),
    [
        ("ERROR:  permission denied for table bills", 2, 10, True),
        ("ERROR:  permission denied for table bills", 1, 10, False),
        ("ERROR:  permission denied for table bills", 2, 300, False),
        ("RuntimeError: can't start new thread", 2, 10, True),
        ("[Errno 111] Connection refused", 5, 10, False),  # the checks of the other side know better
    ],
)
def test_trouble_goes_on_while_it_is_written_and_nobody_else_looks(
    text: str, times: int, seconds_ago: float, is_still_so: bool
) -> None:
    reason = trouble(log(*[text] * times, seconds_ago=seconds_ago), "api", NOW - 900)
    assert reason is not None
    assert reason.is_still_so(NOW) is is_still_so


def test_a_message_that_was_understood_does_not_end_the_trouble_with_others() -> None:
    unknown = "[WARNING] Received and deleted unknown message.  Wrong destination?!?"
    reason = trouble(log(unknown, unknown, "Task send[1] succeeded in 0.1s: None"), "celery", NOW - 900)
    assert reason is not None
    assert (reason.kind, reason.is_still_so(NOW)) == ("unknown message", True)
