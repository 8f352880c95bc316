"""The first lines of every run: a signal that comes while the rest is imported has its answer too."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import NoReturn

from samaops.cli import streams
from samaops.errors import INTERRUPTED
from samaops.i18n import _, language_of_environment, use_language

# What libpq may take where no password is configured.
_WITHOUT_A_PASSWORD = ("PGPASSWORD", "PGPASSFILE")
# From these, libraries take how large the screen is: they make a number of the first sign that looks like a digit, and
# as much memory as the number says.
_SIZES_OF_THE_SCREEN = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
_MOST_DIGITS = 4


def main() -> NoReturn:
    """Run samaops and leave with its exit code."""
    _open_closed_streams()
    streams.keep()
    _leave_no_core()
    _forget_other_places()
    _forget_impossible_screens()
    _end_as_by_ctrl_c()
    try:
        from samaops.cli.main import main as run_command_line
    except KeyboardInterrupt:
        use_language(language_of_environment())
        sys.stderr.write("samaops: " + _("interrupted") + "\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # as main.leave
    run_command_line()


def _end_as_by_ctrl_c() -> None:
    """Let a polite kill or a lost terminal end us as Ctrl-C does: with an answer, and with a change taken back.

    Who had a signal ignored for us, as nohup does, keeps it ignored.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is signal.SIG_DFL:
            signal.signal(signal_number, interrupt)


def _leave_no_core() -> None:
    """Let no crash, of a driver or a library in C, leave a file with the passwords that are in our memory."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _forget_other_places() -> None:
    """Take from the libraries what a session's variables say of other connections than those that are configured.

    libpq, also under ODBC, would go to another address (PGHOSTADDR), look a service up or set limits of its own; OpenSSL
    would write keys to a file that may be a pipe. ``os.environ`` keeps those of libpq: a secret may be in one of them.
    """
    os.environ.pop("SSLKEYLOGFILE", None)
    for name in os.environ:
        if name.startswith("PG") and name not in _WITHOUT_A_PASSWORD:
            os.unsetenv(name)


def _forget_impossible_screens() -> None:
    """Take from the libraries a size that no screen has: what cannot be meant is as if it were not said."""
    for name in _SIZES_OF_THE_SCREEN:
        size = os.environ.get(name, "")
        if not (size.isascii() and size.isdecimal() and len(size) <= _MOST_DIGITS):
            os.environ.pop(name, None)


def _open_closed_streams() -> None:
    """Put /dev/null where our caller closed a stream: the next connection would take its number, and our words."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
