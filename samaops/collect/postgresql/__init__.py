"""How postgresql is looked at."""

from samaops.collect.postgresql.server import collectors as collectors
