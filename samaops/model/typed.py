"""Types that msgspec is to read values as, from several threads.

The first time that a type is used msgspec builds what it knows of it, and shows that to other threads before it is whole: who reads a
value as the same type, or one that holds it, in that moment, ends the whole process with a segmentation fault (msgspec 0.22).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

KindT = TypeVar("KindT")
_one_at_a_time = threading.Lock()
_ready: set[Any] = set()


def ready(kind: KindT) -> KindT:
    """Return a type once all that msgspec has to know of it is there: one thread builds, the others wait."""
    if kind not in _ready:
        with _one_at_a_time:
            if kind not in _ready:
                msgspec.json.Decoder(kind)
                _ready.add(kind)
    return kind
