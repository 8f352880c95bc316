"""What can be configured: one model per section of the TOML file.

A missing section means that system is not used. Defaults are the production guide's values.
Loading, environment variables and error messages are in ``samaops.config.load``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from samaops.config import places
from samaops.config.backup_settings import Backup
from samaops.config.balancer_settings import LoadBalancer
from samaops.config.fields import (
    CanaryTask,
    Host,
    Limit,
    Percent,
    Port,
    Seconds,
    Section,
    Url,
    UserPath,
)
from samaops.config.network_settings import Network
from samaops.config.notify_settings import ReminderHours, Webhook
from samaops.config.satellite import Satellite
from samaops.config.schedule_settings import Maintenance, Schedule
from samaops.config.secrets import Secret
from samaops.config.standby import StandbyServer


class Tls(Section):
    """A connection over TLS: the server is verified unless that is switched off."""

    # Who signed the server's certificate, beside the system's authorities.
    ca_file: UserPath | None = None
    # The name in the certificate, when it is not the address that is connected to.
    server_name: Host | None = None
    # What we show, where the server asks for a certificate.
    certificate_file: UserPath | None = None
    key_file: UserPath | None = None
    verify: bool = True


def _tls(value: object) -> object:
    """Let ``tls = true`` stand for a table without keys, and ``false`` for none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


# Absent: no TLS is asked for.
OverTls = Annotated[Tls | None, BeforeValidator(_tls)]


class Ssh(Section):
    """How to log in to a server. Host keys are always verified against ``known_hosts``."""

    user: str = "root"
    port: Port = 22
    key_file: UserPath | None = None
    known_hosts: UserPath = Field(default_factory=lambda: places.ssh() / "known_hosts")
    timeout: Seconds = 5.0


class Server(Section):
    """One Linux server."""

    address: Host
    roles: tuple[str, ...] = ()
    ssh: Ssh | Literal["local", "none"] = Field(default_factory=Ssh)
    # Mounts that must exist beside what `df` shows; a missing one is a finding.
    mounts: tuple[str, ...] = ("/",)
    ping: bool = True


class PostgreSQL(Section):
    """The database itself, on its own port and not through the pool."""

    server: str = "db"
    host: Host | None = None  # the server's address when absent
    port: Port = 5432
    database: str = "samaconso"
    user: str = "samaops"
    password: Secret | None = None
    # What libpq does where there is no section "tls".
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    tls: OverTls = None
    # Whether it gets the password itself where it asks for it, over a connection that need not be over TLS.
    clear_text_password: bool = False
    timeout: Seconds = 5.0
    data_directory: str = "/var/lib/postgresql/15/main"
    # The table of notifications, when each is due and when it was published; an empty name: it is not looked at.
    notifications_table: str = "notifications"
    notifications_due_column: str = "created_at"
    notifications_published_column: str = "sent_at"
    standbys: tuple[StandbyServer, ...] = ()
    # Settings that the guide fixes; what differs is a finding. Values as PostgreSQL's SHOW prints them.
    expected_settings: dict[str, str] = {
        "max_connections": "200",
        "shared_buffers": "2GB",
        "effective_cache_size": "6GB",
        "maintenance_work_mem": "512MB",
        "work_mem": "10MB",
        "wal_level": "replica",
        "max_wal_size": "2GB",
        "min_wal_size": "1GB",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        "effective_io_concurrency": "200",
        "log_min_duration_statement": "500ms",
    }


class PgBouncer(Section):
    """The connection pool and its admin console."""

    server: str = "db"
    host: Host | None = None
    port: Port = 6432
    database: str = "samaconso"
    user: str = "samaconso_user"
    password: Secret | None = None
    admin_user: str = "postgres"
    admin_password: Secret | None = None
    tls: OverTls = None
    # Whether it gets the password itself where it asks for it (auth_type = plain, pam, ldap), without TLS.
    clear_text_password: bool = False
    timeout: Seconds = 5.0
    expected_settings: dict[str, str] = {
        "pool_mode": "transaction",
        "max_client_conn": "10000",
        "default_pool_size": "100",
        "min_pool_size": "20",
        "reserve_pool_size": "10",
        "query_wait_timeout": "120",
    }


class Redis(Section):
    """Cache and Celery results."""

    server: str = "workers"
    host: Host | None = None
    port: Port = 6379
    database: int = 0
    username: str | None = None
    password: Secret | None = None
    tls: OverTls = None
    timeout: Seconds = 4.0
    container: str | None = "samaconso_redis"
    expected_policy: str = "allkeys-lru"
    # How many keys at most are sampled to find who has no expiry.
    sample_keys: Annotated[int, Field(ge=0, le=100_000)] = 1000
    # Whose keys are, by the beginning of their names, where that does not tell: "samaconso:consumption:" -> "API, cache".
    owners: dict[str, str] = {}


class RabbitMQ(Section):
    """The broker, read through its management API."""

    server: str = "api"
    host: Host | None = None
    port: Port = 5672
    management_port: Port = 15672
    management_tls: bool = False
    # Of the AMQP port (5671 where RabbitMQ is set up as its manual says); its authority is that of the management API too.
    tls: OverTls = None
    vhost: str = "/"
    username: str = "samaconso_admin"
    password: Secret | None = None
    timeout: Seconds = 4.0
    container: str | None = "samaconso_rabbitmq"
    # Queue name -> priority of the guide.
    queues: dict[str, int] = {"urgent": 9, "high_priority": 7, "normal": 5, "low_priority": 3}
    # Whom the API and the workers log in as, where that is another user than the one above.
    application_user: str | None = None
    # The exchange that the application publishes to, "" for RabbitMQ's default one; seen by itself where it is left out.
    exchange: str | None = None


class Flower(Section):
    """Celery's own monitor."""

    server: str = "workers"
    url: Url | None = None  # http://<server>:5555 when absent
    username: str = "admin"
    password: Secret | None = None
    timeout: Seconds = 4.0
    container: str | None = "samaconso_flower"


class ApiInstance(Section):
    """One member of the balanced pool."""

    name: str
    url: Url
    server: str = "api"
    container: str | None = None


class Api(Section):
    """The FastAPI members."""

    health_path: str = "/health"
    # What the body of the health path must hold; the balancer's monitor looks for the same.
    expected_status: str = "running"
    timeout: Seconds = 4.0
    instances: tuple[ApiInstance, ...] = ()


class Worker(Section):
    """One Celery worker: its node name starts with the table's key."""

    server: str = "workers"
    container: str | None = None
    queues: tuple[str, ...] = ()


class Celery(Section):
    """The workers and the queues each must consume."""

    workers: dict[str, Worker] = {}
    # How `celery` is called inside a worker's container, and the application's module (its -A).
    command: str = "celery"
    app: str = "app.celery_app"
    # A task that has been active longer than this is called stuck.
    stuck_after: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    # The application's task that sends one message which FCM only validates (docs/troubleshooting.md).
    canary_task: CanaryTask | None = None


class MinIO(Section):
    """Object storage over S3."""

    server: str = "db"
    url: Url | None = None  # http://<server>:9000 when absent
    access_key: str = ""
    secret_key: Secret | None = None
    buckets: tuple[str, ...] = ("avatars", "documents", "uploads")
    timeout: Seconds = 4.0


class SqlServer(Section):
    """One external SQL Server, over ODBC."""

    name: str
    driver: str = "ODBC Driver 18 for SQL Server"
    host: Host
    port: Port = 1433
    database: str = ""
    user: str = ""
    password: Secret | None = None
    query: str = "SELECT 1"
    # Further ODBC keywords, such as Encrypt = "yes".
    options: dict[str, str] = {}
    timeout: Seconds = 5.0


class Proxy(Section):
    """The Senelec proxy, the only way to Google."""

    url: Url = "http://10.101.201.204:8080"
    username: str | None = None
    password: Secret | None = None


class Firebase(Section):
    """Google's OAuth and FCM, reached through the proxy when there is one."""

    oauth_url: Url = "https://oauth2.googleapis.com/"
    fcm_url: Url = "https://fcm.googleapis.com/"
    # An extra CA that the application trusts, beside the system's.
    ca_file: UserPath | None = None
    # Organisations that may have issued Google's certificates; any other is an interception.
    expected_issuers: tuple[str, ...] = ("Google Trust Services",)
    timeout: Seconds = 5.0


class Docker(Section):
    """The engines of the servers, through the `docker` command on each."""

    # Server name -> containers that must run there.
    containers: dict[str, tuple[str, ...]] = {}
    # "none" where the services run without containers.
    engine: Literal["docker", "none"] = "docker"
    # Why there is no engine, said in the unknown findings.
    engine_reason: str = ""
    log_size_limit_mb: Annotated[int, Field(gt=0)] = 1024


class Endpoint(Section):
    """A plain HTTP service such as Prometheus or AlertManager."""

    url: Url
    username: str | None = None
    password: Secret | None = None
    ca_file: UserPath | None = None
    timeout: Seconds = 4.0


class Certificate(Section):
    """A TLS certificate to watch, by the address that serves it."""

    name: str
    host: Host
    port: Port = 443
    server_name: str | None = None
    ca_file: UserPath | None = None


class MailNotification(Section):
    """Who gets mail, through which server."""

    host: Host
    port: Port = 25
    sender: str = "samaops@senelec.sn"
    recipients: tuple[str, ...] = ("ops@senelec.sn",)
    username: str | None = None
    password: Secret | None = None
    # "starttls" (usual on 25 and 587), "tls" from the first byte (465), or "none".
    encryption: Literal["none", "starttls", "tls"] = "none"
    ca_file: UserPath | None = None
    timeout: Seconds = 10.0


class WebhookNotification(Section):
    """A URL that gets each notification; the URL itself is a secret."""

    url: Secret
    # Whether the way there leads through [proxy].
    through_proxy: bool = False
    ca_file: UserPath | None = None
    timeout: Seconds = 5.0


class Notify(Section):
    """Where failures and alerts go."""

    mail: MailNotification | None = None
    slack: WebhookNotification | None = None
    alertmanager: Endpoint | None = None
    ping: WebhookNotification | None = None
    # Others, by a name of one's own.
    webhooks: dict[str, Webhook] = {}
    # Warnings wait for the end of it, such as "22:00-06:00" in the time zone of [schedule]; what is critical never does.
    quiet_hours: str | None = None
    # The same trouble is told again when it changes, or after so long: what is critical or unknown, and warnings.
    remind_hours: ReminderHours = 24.0
    remind_warning_hours: ReminderHours = 168.0


class History(Section):
    """Where the journal is kept; SQLite under the state directory when ``url`` is absent."""

    url: Secret | None = None
    # By which the control machines know in a shared history what one of them wrote; each knows its own when absent.
    key: Secret | None = None


class Release(Section):
    """What `samaops release` and `samaops rollback` go by."""

    # Where an image of the application has its Alembic revisions; "" where the application has none.
    migrations: str = "/app/migrations/versions"
    # The table in which Alembic keeps where the database is.
    version_table: str = "public.alembic_version"
    # Alembic's command line in the image, from the directory in which its containers work: it writes the SQL of a downgrade.
    migrate: Annotated[str, Field(pattern=r"^[\w./=+@][\w./=+@ -]*$")] = "alembic"
    # Whether a release runs on a database whose newer migrations only add to it: not where its image migrates at its start.
    tolerates_additions: bool = False
    # Revisions that older releases run with, whatever they do.
    compatible: tuple[str, ...] = ()
    # How many releases of a server are kept, the running one with them.
    kept: Annotated[int, Field(ge=2)] = 3
    # Where a server keeps what is recorded of its releases, and their images as files, which no prune takes.
    directory: Annotated[str, Field(pattern="^/")] = "/var/lib/samaops/releases"
    # How long a worker's tasks may take to end before it is replaced.
    worker_stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    # How long a member must serve with its new container before the next one follows.
    bake_seconds: Annotated[float, Field(ge=0, le=3600)] = 20.0
    # How long a member may be out of the balancer's pool: then a watchdog puts it back, whatever has become of us.
    member_seconds: Annotated[float, Field(ge=30, le=3600)] = 300.0


class Playbooks(Section):
    """A site's own playbooks, beside those of samaops."""

    path: UserPath | None = None


class Threshold(Section):
    """Own limits of one check, by its code. Absent limits keep the check's default."""

    warning: Limit | None = None
    critical: Limit | None = None


class Safety(Section):
    """Limits that no flag can lift."""

    minimum_free_percent: Percent = 10.0
    backup_max_age_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 26.0
    # Where "one change at a time" is locked on this machine; /run/samaops, for its group, when absent.
    lock_directory: UserPath | None = None
    # Where on a server a change that touches it is locked for all control machines.
    server_lock_directory: Annotated[str, Field(pattern="^/")] = "/run/samaops"
    # That nobody is served by this site: load and failures may be tried on it (samaops checklist measure).
    is_test_site: bool = False


class Settings(Section):
    """The whole configuration."""

    # Of the file's format; one that says none is of the first (samaops.config.versions).
    version: Annotated[int, Field(ge=1)] = 1
    site: str = "samaconso"
    servers: dict[str, Server] = {}
    postgresql: PostgreSQL | None = None
    pgbouncer: PgBouncer | None = None
    redis: Redis | None = None
    rabbitmq: RabbitMQ | None = None
    flower: Flower | None = None
    api: Api | None = None
    celery: Celery | None = None
    minio: MinIO | None = None
    loadbalancer: LoadBalancer | None = None
    sqlserver: tuple[SqlServer, ...] = ()
    firebase: Firebase | None = None
    proxy: Proxy | None = None
    docker: Docker | None = None
    backup: Backup | None = None
    prometheus: Endpoint | None = None
    alertmanager: Endpoint | None = None
    certificates: tuple[Certificate, ...] = ()
    notify: Notify = Notify()
    schedule: Schedule = Schedule()
    maintenance: Maintenance = Maintenance()
    release: Release = Release()
    network: Network = Network()
    history: History = History()
    playbooks: Playbooks = Playbooks()
    thresholds: dict[str, Threshold] = {}
    safety: Safety = Safety()
    satellite: Satellite | None = None

    def host_of(self, section: PostgreSQL | PgBouncer | Redis | RabbitMQ) -> str:
        """Return the address to connect to: the section's own host, or its server's address."""
        return section.host or self.address_of(section.server)

    def address_of(self, server: str) -> str:
        """Return a server's address; the name itself when no such server is configured."""
        known = self.servers.get(server)
        return known.address if known else server
