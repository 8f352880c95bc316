"""How servers is looked at."""

from samaops.collect.servers.host import collectors as collectors
