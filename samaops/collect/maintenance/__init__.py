"""How maintenance is looked at."""

from samaops.collect.maintenance.past import collectors as collectors
