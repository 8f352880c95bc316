"""paramiko as it is used here: silent, without what it needs for a word of ssh_config, and never waited for without end."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

# A third of the time that importing paramiko takes goes to invoke, for a word of ssh_config ("Match exec"), which is
# not read here. paramiko does without it where it is not installed.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
import paramiko  # noqa: E402

if sys.modules["invoke"] is None:
    del sys.modules["invoke"]
# paramiko logs the traceback of each connection that did not end well; why it did not is one sentence of ours.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
_ResultT = TypeVar("_ResultT")
__all__ = ["in_time", "paramiko", "seconds_left"]


def seconds_left(ends_at: float) -> float:
    """Return the seconds left, never zero: no library takes a timeout of zero as one."""
    return max(0.01, ends_at - time.monotonic())


def in_time(work: Callable[[], _ResultT], ends_at: float) -> _ResultT:
    """Return what ``work`` returns, which knows no timeout itself. Raises TimeoutError, and then it is left behind."""
    result: Future[_ResultT] = Future()

    def do() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            result.set_exception(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds_left(ends_at))
    if thread.is_alive():
        raise TimeoutError
    return result.result()
