"""`samaops db`: a module for each kind of its commands; importing it registers them."""

from samaops.cli.database import looks, objects, sessions, sizes, upkeep  # noqa: F401 - they register their commands
