"""How docker is looked at."""

from samaops.collect.docker.containers import collectors as collectors
