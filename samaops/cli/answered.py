"""An exit code that says nothing more: what there is to say was said."""

from __future__ import annotations


class Answered(int):
    """The exit code of a command that has given its answer, also when it was interrupted: nothing is added to it."""
