"""How the servers are looked at: importing this registers the looks."""

from samaops.collect.servers import host, service_logs  # noqa: F401 - it registers its looks
