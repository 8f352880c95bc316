"""The boundary: whatever happens inside, the user gets an answer, one clear line, or both, and an exit code.

No workflow is imported here: a command's module is imported when the command is called.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import datetime, timezone
from importlib import import_module
from typing import NoReturn

from samaops import errors
from samaops.cli import arguments, log, stdout, streams, textfile, typer_words
from samaops.cli.app import command
from samaops.cli.exit_codes import Answered
from samaops.errors import SamaopsError
from samaops.i18n import LANGUAGES, _, language_of_environment, use_language
from samaops.model.report import Report, ReportError
from samaops.render import escape, faces
from samaops.render.faces import Output
from samaops.site import chosen

# Set by the shell that asks what it may offer.
COMPLETE = "_SAMAOPS_COMPLETE"


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        wanted = arguments.language(sys.argv[1:])
        use_language(wanted if wanted in LANGUAGES else language_of_environment())
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the boundary stands, or again while it speaks
        _say("samaops: " + _("interrupted"))
        code = _flush(errors.INTERRUPTED)
    leave(code)


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code; nothing but SystemExit of shell completion gets out."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stdout.let_fit(stream)
        program = command()
        if COMPLETE in os.environ:
            import_module("samaops.cli.shell_completion").register()
        return _flush(_code(program.main(args=argv, prog_name="samaops", standalone_mode=False)))
    except (KeyboardInterrupt, typer_words.abort()):
        return fail(argv, _("interrupted"), "", errors.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the boundary of the whole program
        return _failed(argv, error)


def _failed(argv: list[str], error: Exception) -> int:
    if isinstance(error, SamaopsError):
        return fail(argv, error.message, error.hint, error.exit_code)
    if isinstance(error, typer_words.usage_error()):
        return _refuse(argv, error)
    return _bug(argv, error)


def _code(result: object) -> int:
    if result == errors.INTERRUPTED and not isinstance(result, Answered):  # typer made an exit code of Ctrl-C
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _refuse(argv: list[str], error: Exception) -> int:
    if typer_words.is_help(error):
        return _flush(errors.USAGE)
    name = arguments.command(argv)
    called = name if name == "samaops" else f"samaops {name}"
    return fail(argv, typer_words.sentence(error), typer_words.hint(error, called), errors.USAGE)


def fail(argv: list[str], message: str, hint: str, code: int) -> int:
    """Say why there is no answer: for people on stderr, for machines also as a document on stdout."""
    hint = chosen.same(hint)
    for line in message.splitlines() or [""]:
        _say(streams.folded(f"samaops: {escape.command(line)}", sys.stderr, "  "))
    if hint:
        _say(f"  -> {escape.command(hint)}")
    output = arguments.output(argv)
    report = Report(
        command=arguments.command(argv),
        started_at=datetime.now(timezone.utc),
        errors=(ReportError(message, hint, code),),
    )
    with suppress(SamaopsError):  # that it cannot be written is not what failed first
        textfile.write(arguments.textfile(argv), report)
    if output in ("json", "nagios", "prometheus", "junit"):
        stdout.write(faces.render(report, Output(output)))
    return _flush(code)


def _bug(argv: list[str], error: Exception) -> int:
    place = log.write_traceback(error)
    message = _("this is a bug in samaops ({kind}); the details are in {place}").format(
        kind=type(error).__name__, place=place
    )
    return fail(argv, message, "", errors.BUG)


def _say(line: str) -> None:
    encoding = sys.stderr.encoding or "ascii"
    sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _flush(code: int) -> int:
    """Flush both streams and return the exit code; a reader that has gone away is no error of ours."""
    sys.stdout.flush()
    error = streams.lost(sys.stdout)
    if error is not None and not isinstance(error, BrokenPipeError):
        _say(
            "samaops: "
            + _("the answer could not be written: {reason}").format(reason=errors.reason_of(error))
        )
        code = errors.BUG
    sys.stderr.flush()
    return code


def leave(code: int) -> NoReturn:
    """End the process. What was said is flushed; a look that was given up runs in a daemon thread, and delays nothing.

    From here on the exit code stands: a signal that comes now changes nothing any more.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # An interrupt inside a text that was executed (each dataclass is one): ``python -m`` would end by SIGINT, with no code.
    if code == errors.INTERRUPTED or any(thread.daemon for thread in threading.enumerate()):
        # Such a thread may be inside a library that is written in C. When Python ends, it takes the ground from under
        # it, and now and then the process ends with SIGSEGV in place of its exit code.
        logging.shutdown()
        os._exit(code)
    sys.exit(code)
