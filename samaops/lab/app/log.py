"""Where the application writes its log: standard output, and a file when SAMACONSO_LOGS names a directory.

The file stays open for the life of the process: whoever removes it leaves a deleted but open file behind.
"""

from __future__ import annotations

import logging
import sys

from .environment import Environment

LINE = "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"
UVICORN_LOGGERS = ("uvicorn", "uvicorn.access")


def configure(environment: Environment) -> None:
    """Send every logger's lines to standard output and to ``<logs>/<instance>.log``."""
    root = logging.getLogger()
    root.setLevel(environment.log_level)
    root.handlers = _handlers(environment)
    for name in UVICORN_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True


def _handlers(environment: Environment) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if environment.logs_directory is not None:
        environment.logs_directory.mkdir(parents=True, exist_ok=True)
        path = environment.logs_directory / f"{environment.instance_id}.log"
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(LINE))
    return handlers
