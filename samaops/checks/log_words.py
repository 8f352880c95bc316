"""What known words in a log mean: the reason why something fails, where it is written.

A row is a kind and the words by which a system says it, in English and, for PostgreSQL and the system's own errors, in
French. The newest line that has such words is the decisive one; where none has, the end of the last traceback is, else
the last line that calls itself an error, else the last line. Add a row where words are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from msgspec import Struct

from samaops.facts.log import LogLine
from samaops.i18n import N_, _

# What each kind means; the line itself, quoted behind it, has the names.
KINDS = {
    "module": N_("a module or program is missing"),
    "code": N_("its code or its image cannot run"),
    "variable": N_("a setting or an environment variable is missing or not valid"),
    "file": N_("a file is missing"),
    "rights": N_("it has not the right to do so"),
    "read-only": N_("it may only read: what it writes to is read-only"),
    "space": N_("no space is left where it writes"),
    "quota": N_("its quota on the disk is used up"),
    "memory": N_("memory ran out"),
    "login": N_("its user or password is refused"),
    "rejected": N_("the rules of access (pg_hba.conf) refuse it"),
    "constraint": N_("a constraint refuses what it writes"),
    "conflict": N_("what it writes does not fit the rows that are there"),
    "tls": N_("it asks for TLS, and the other side has none"),
    "limit": N_("a limit is reached"),
    "process": N_("a limit of its process or container is reached (open files, threads)"),
    "message size": N_("a message is larger than the broker takes (max_message_size)"),
    "unknown message": N_("it throws away messages that it does not understand"),
    "host": N_("a host name is not known"),
    "certificate": N_("a TLS certificate is not accepted or not found"),
    "port": N_("its port is already in use"),
    "damaged": N_("its data are damaged or of another version"),
    "absent": N_("what it asks for does not exist there"),
    "refused": N_("what it needs refuses the connection"),
    "silent": N_("what it needs does not answer in time"),
    "deadlock": N_("transactions wait for each other"),
    "prepared": N_("a prepared statement is asked for on another connection than it was made on"),
}
# Nobody else looks whether these are so now: they are worth a warning of their own while they are written.
_SEEN_BY_NOBODY_ELSE = (
    "quota",
    "rights",
    "absent",
    "damaged",
    "file",
    "certificate",
    "code",
    "module",
    "variable",
    "login",
    "rejected",
    "constraint",
    "process",
    "message size",
    "unknown message",
    "prepared",
)
# That another message was understood, or another request served, does not end these.
_GOES_ON = ("process", "unknown message")

# The errors of the operating system, as every program writes them.
_COMMON = (
    ("quota", r"disk quota exceeded|EDQUOT|quota d'espace disque"),
    ("space", r"no space left|ENOSPC|aucun espace disponible"),
    ("read-only", r"read-only file ?system|EROFS|accessible en lecture seul"),
    ("memory", r"cannot allocate memory|ENOMEM|out of memory|MemoryError|ne peut allouer de la m|mémoire épuisée"),
    ("rights", r"permission denied|EACCES|operation not permitted|permission non accordée"),
    ("port", r"address already in use|EADDRINUSE|port is already allocated|adresse déjà utilisée"),
    ("process", r"too many open files|EMFILE|resource temporarily unavailable|can't start new thread|trop de fichiers ouverts"),
    ("host", r"name or service not known|temporary failure in name resolution|name does not resolve|nodename nor servname"
             r"|could not translate host name|host not found|nxdomain|no address associated|nom ou service inconnu"),
    ("certificate", r"certificate[ _]verify[ _]failed|certificate has expired|unknown ca\b|self[- ]signed certificate"
                    r"|suitable TLS CA certificate|no certificate or crl found|tlsv1 alert|hostname mismatch"),
    ("module", r"executable file not found|exec:? .*not found|: not found$"),
    ("code", r"exec format error|OCI runtime create failed"),
    ("file", r"no such file or directory|ENOENT|FileNotFoundError|aucun fichier ou dossier"),
    ("refused", r"connection refused|ECONNREFUSED|connexion refusée"),
    ("silent", r"timed? ?out|ETIMEDOUT|no route to host|délai d'attente"),
)  # fmt: skip
_POSTGRESQL = (
    ("prepared", r"prepared statement \".*\" (already exists|does not exist)|l'instruction préparée « .* » (existe déjà|n'existe pas)"
                 r"|DuplicatePreparedStatement|InvalidSQLStatementName"),
    ("rejected", r"no pg_hba\.conf entry|pg_hba\.conf rejects|aucune entrée dans pg_hba|pg_hba\.conf rejette"),
    ("login", r"authentication failed for user|role \".*\" does not exist$|is not permitted to log in"
              r"|échouée pour l'utilisateur|le rôle « .* » n'existe pas$|n'est pas autorisé à se connecter"),
    ("limit", r"too many (clients|connections for)|connection slots are reserved|no more connections allowed"
              r"|reached maximum value of sequence|trop de (clients|connexions)|connexions restants sont réservés"
              r"|query_wait_timeout|stack depth limit|out of shared memory"),
    ("read-only", r"in a read-only transaction|ReadOnlySqlTransaction|dans une transaction en lecture seule"),
    ("rights", r"permission denied for|must be owner of|InsufficientPrivilege|droit refusé pour|doit être le propriétaire"),
    ("absent", r"(database|relation|column|schema|function|type|sequence|operator) .*does not exist|no such database"
               r"|Undefined(Table|Column|Function|Object)|(base de données|relation|colonne|schéma|fonction|séquence) .*n'existe pas"
               r"|not currently accepting connections|n'accepte plus les connexions"),
    ("damaged", r"invalid page in block|could not read block|valid checkpoint record|DataCorrupted|IndexCorrupted"
                r"|page invalide|pas pu lire le bloc|point de vérification valide|database files are incompatible"),
    ("variable", r"unrecognized configuration parameter|invalid value for parameter|configuration file .*contains errors"
                 r"|could not load pg_hba|paramètre de configuration .*non reconnu|valeur invalide pour le paramètre"
                 r"|fichier de configuration .*contient des erreurs|pas pu charger pg_hba|invalid pg_hba"),
    ("certificate", r"could not load server certificate|could not load private key|SSL error|TLS handshake failed"
                    r"|charger le fichier du certificat|erreur SSL"),
    ("constraint", r"violates (check|not-null) constraint|viole la contrainte (de vérification|NOT NULL)|CheckViolation"
                   r"|NotNullViolation"),
    ("conflict", r"violates (unique|foreign key|exclusion) constraint|UniqueViolation|ForeignKeyViolation"
                 r"|rompt la contrainte unique|viole la contrainte de clé étrangère"),
    ("deadlock", r"deadlock detected|\(deadlock\) détecté"),
    ("silent", r"statement timeout|due to lock timeout|délai écoulé|login failed: connect timeout|server_login_retry"),
)  # fmt: skip
_PGBOUNCER = (
    ("host", r"DNS lookup failed"),
    ("tls", r"server refused SSL"),
    ("refused", r"connect failed"),
    ("login", r"no such user|auth failed|SASL authentication failed|server login failed: .*password"),
    ("variable", r"unknown parameter|cannot load config|invalid value"),
    *_POSTGRESQL,
)
_REDIS = (
    ("login", r"WRONGPASS|NOAUTH|invalid username-password|invalid password"),
    ("rights", r"NOPERM"),
    ("limit", r"max number of clients reached|OOM command not allowed|index is out of range|invalid DB index"),
    ("space", r"MISCONF"),
    ("read-only", r"READONLY"),
    ("limit", r"NOREPLICAS"),
    ("memory", r"can't save in background: fork"),
    ("damaged", r"bad file format reading|internal error in RDB|wrong signature trying to load|unexpected end of file"
                r"|short read or OOM loading|can't handle RDB format"),
    ("variable", r"fatal config file error|bad directive or wrong number"),
)  # fmt: skip
_RABBITMQ = (
    ("login", r"login refused: user|ACCESS_REFUSED.*login|invalid credentials|login was refused"),
    ("limit", r"connection limit .*is reached|limit of (channels|queues|connections)|channel_max|alarm set|number of channels"),
    ("rights", r"(access|permission)\w* to .*refused|ACCESS_REFUSED"),
    ("absent", r"vhost '?.*'? (not found|is down)|NOT_FOUND|no (queue|exchange) '|NOT_ALLOWED"),
    ("message size", r"message size \d+ is larger than"),
    ("variable", r"PRECONDITION_FAILED|inequivalent arg|failed to (prepare|load) configuration|error preparing configuration"
                 r"|cookie file .*must be accessible"),
    ("damaged", r"schema_integrity_check_failed|inconsistent_database|bad_log|corrupt"),
    ("silent", r"missed heartbeats from client|timeout_waiting_for_tables|CONNECTION_FORCED"),
    ("space", r"enospc"),
    ("rights", r"eacces"),
    ("port", r"eaddrinuse"),
)  # fmt: skip
_APPLICATION = (
    ("unknown message", r"Received and deleted unknown message|Can't decode message body"),
    ("module", r"ModuleNotFoundError|No module named|ImportError|Unable to load celery application|Could not import module"
               r"|Error loading ASGI app|Attribute \".*\" not found in module"),
    ("code", r"SyntaxError|IndentationError"),
    ("variable", r"KeyError: '(?-i:[A-Z][A-Z0-9_]+)'|field required|type=missing|Invalid value for '|no such option"
                 r"|validation errors? for \w*(Settings|Config)|ImproperlyConfigured|environment variable"
                 r"|Could not parse SQLAlchemy URL|invalid literal for int|unrecognized arguments|No such transport"
                 r"|Unable to configure|Unknown level: '"),
    ("limit", r"QueuePool limit|ConnectionLimitExceeded"),
    *_RABBITMQ,
    *_REDIS,
    *_POSTGRESQL,
)  # fmt: skip
_NGINX = (
    ("limit", r"worker_connections are not enough|upstream sent too big"),
    ("refused", r"no live upstreams"),
    ("variable", r"\[emerg\] (unknown directive|invalid|unexpected)"),
    ("certificate", r"cannot load certificate|SSL_do_handshake\(\) failed"),
)
WORDS = {
    "postgresql": _POSTGRESQL,
    "pgbouncer": _PGBOUNCER,
    "redis": _REDIS,
    "rabbitmq": _RABBITMQ,
    "api": _APPLICATION,
    "celery": _APPLICATION,
    "flower": _APPLICATION,
}
# What is in none of the systems may be anybody's: a proxy, a job, a new part of the application.
_OF_ANYBODY = (*_NGINX, *_APPLICATION)

# After such a line what was written before it is over.
_RECOVERED = re.compile(
    r"Connected to |\bready\.$|succeeded in |ready to accept connections|prêt pour accepter|Ready to accept connections"
    r"|Server startup complete|alarm cleared|Application startup complete|\" 20\d\b"
)
HEALTH = re.compile(r"/(health|healthz|ping|metrics)\b")
# Our own requests, and lines that quote a statement or a configuration rather than say what happened.
_OURS = re.compile(
    r"samaops/\d|samaops_canary|user[= ]['\"«]?\s*samaops|\bsamaops@|'samaops'|\"samaops\"|« samaops »"
    r"|HTTP access denied|pgbouncer/postgres@|tornado\.access|\bSTATEMENT:|\bINSTRUCTION :"
)
_LEVEL = re.compile(r"\b(FATAL|PANIC|CRITICAL|ERROR|Error|ERREUR|error|emerg|crit|fatal)\b|^\S+ # |\[E ")
_END_OF_TRACEBACK = re.compile(
    r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure|Refused|Denied)\b(?::|$)"
)
_HARMLESS = re.compile(r"\b(INFO|DEBUG|LOG|NOTICE|\[info\]|\[debug\])\b:?|\[I \d|^\S+ [*-] |Warning: ")
_DETAIL = re.compile(
    r"\b(DETAIL|DÉTAIL) ?: +(?P<words>(Connection matched|La connexion correspond|Role |Le rôle ).*)"
)

FRESH_SECONDS = 900.0
# A trouble that nobody else looks at is still there when it was written just now, and not once only.
STILL_SECONDS, STILL_TIMES = 60.0, 2


class Reason(Struct, frozen=True):
    """Why something fails in the words of its log; ``kind`` is empty where nobody knows these words."""

    kind: str
    line: str
    at: float | None
    count: int

    @property
    def words(self) -> str:
        """What the line means, and the line."""
        if not self.kind:
            return _("its last words: «{line}»").format(line=self.line)
        return _("{meaning}: «{line}»").format(meaning=_(KINDS[self.kind]), line=self.line)

    def title(self, name: str, *, is_still_so: bool) -> str:
        """Say that the log of something tells of this trouble, or told of it and no longer does."""
        title = (
            _("The log of {name} tells of trouble: {words}")
            if is_still_so
            else _("The log of {name} told of trouble lately: {words}")
        )
        return title.format(name=name, words=self.words)

    @property
    def evidence(self) -> dict[str, object]:
        """It as plain values."""
        return {
            "reason": self.kind,
            "line": self.line,
            "at": self.at,
            "count": self.count,
            "words": self.words,
        }

    def evidence_at(self, now: float) -> dict[str, object]:
        """It as plain values, with its age."""
        return {**self.evidence, "age_seconds": None if self.at is None else round(now - self.at)}

    def is_still_so(self, now: float) -> bool:
        """Return whether it goes on, as far as a log can tell, and no other check looks at it."""
        is_new = self.at is not None and 0 <= now - self.at + 1 <= STILL_SECONDS
        return self.kind in _SEEN_BY_NOBODY_ELSE and is_new and self.count >= STILL_TIMES


@cache
def _table(system: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (kind, re.compile(words, re.IGNORECASE))
        for kind, words in (*WORDS.get(system, _OF_ANYBODY), *_COMMON)
    )


def kind_of(text: str, system: str) -> str:
    """Return what kind of trouble a line speaks of; "" for none that is known."""
    if _HARMLESS.search(text) and not _LEVEL.search(text):
        return ""
    return next((kind for kind, words in _table(system) if words.search(text)), "")


def trouble(lines: Sequence[LogLine], system: str, since: float) -> Reason | None:
    """Return the newest trouble with known words that was not followed by a sign that it is over."""
    known: list[tuple[LogLine, str]] = []
    is_over = False
    for line in _newest_first(lines, since):
        is_over = is_over or _is_recovery(line.text)
        kind = kind_of(line.text, system)
        if kind and (not is_over or kind in _GOES_ON):
            known.append((line, kind))
    if not known:
        return None
    newest, kind = known[0]
    return Reason(kind, _with_detail(newest, lines), newest.at, sum(other == kind for _line, other in known))


def last_words(lines: Sequence[LogLine], system: str, since: float) -> Reason | None:
    """Return why something ended or does not work: the decisive line of its log, whether its words are known or not."""
    reason = trouble(lines, system, since)
    if reason is not None:
        return reason
    wanted = list(_newest_first(lines, since))
    for is_decisive in (_END_OF_TRACEBACK.search, _LEVEL.search, bool):
        for line in wanted:
            if is_decisive(line.text):
                return Reason("", line.text, line.at, 1)
    return None


def _newest_first(lines: Sequence[LogLine], since: float) -> Iterator[LogLine]:
    return (
        line
        for line in reversed(lines)
        if (line.at is None or line.at >= since) and not _OURS.search(line.text)
    )


def _is_recovery(text: str) -> bool:
    return bool(_RECOVERED.search(text)) and not HEALTH.search(text)


def _with_detail(decisive: LogLine, lines: Iterable[LogLine]) -> str:
    """Return a line of PostgreSQL with the detail behind it that says which rule refused."""
    after = iter(lines)
    for line in after:
        if line is decisive:
            detail = _DETAIL.search(getattr(next(after, None), "text", ""))
            return f"{decisive.text} ({detail['words']})" if detail else decisive.text
    return decisive.text
