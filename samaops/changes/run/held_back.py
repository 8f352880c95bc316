"""Hold back Ctrl-C, a lost terminal and a polite kill while what is under way must not be cut in two; for moments only."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Raise the KeyboardInterrupt of this time at its end. Whatever is ignored stays ignored."""
    came = False

    def note(_number: int, _frame: object) -> None:
        nonlocal came
        came = True

    if threading.current_thread() is not threading.main_thread():  # no signal is handled elsewhere
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _INTERRUPTS}
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
        if came:
            raise KeyboardInterrupt
