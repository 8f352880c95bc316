"""Call another samaops, in a process of this machine or on a control machine over SSH, and take its report.

Its configuration, its secrets and its faults stay its own: nothing but the report comes back, of bounded size and within
a time.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.shell import MAX_OUTPUT_BYTES, Completed, text
from samaops.clients.shells import ShellPool
from samaops.config import programs
from samaops.config.satellite import Satellite
from samaops.config.settings import Settings
from samaops.i18n import _
from samaops.model.encoding import MisfitError
from samaops.model.failure import FailureKind
from samaops.model.received import decode
from samaops.model.report import Report

STAGE = "samaops"
# What a shell ends with when there is no such program, or it may not be run.
_NO_PROGRAM = (126, 127)


def here(words: Sequence[str], seconds: float) -> Report:
    """Call samaops with these words in a process of its own. Raises ClientError."""
    # What lies in the working directory must not be imported, as -m would; -I would not let it find us in a source tree.
    program = "import sys; sys.path = [p for p in sys.path if p]; from samaops.cli.start import main; main()"
    try:
        ended = programs.run(
            [sys.executable, "-c", program, *words],
            seconds,
            MAX_OUTPUT_BYTES,
            environment={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    except TimeoutError as error:
        raise _late(seconds) from error
    except programs.TooMuchOutputError as error:
        message = _("more than {bytes} bytes of output").format(bytes=MAX_OUTPUT_BYTES)
        raise ClientError(FailureKind.ERROR, message, STAGE) from error
    except (OSError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, str(error), STAGE) from error
    footprint.count(commands=1, bytes_read=len(ended.stdout))
    return _report(Completed(ended.exit_code, text(ended.stdout), text(ended.stderr)))


def at(satellite: Satellite, settings: Settings, words: Sequence[str], seconds: float) -> Report:
    """Call the samaops of a site's own control machine. Raises ClientError."""
    with closing(ShellPool(settings)) as shells:
        shell = shells.of(satellite.server)
        return _report(shell.run(f"{satellite.command} {shlex.join(words)}", seconds))


def _report(ended: Completed) -> Report:
    if ended.exit_code in _NO_PROGRAM:
        raise ClientError(FailureKind.MISSING, ended.reason(), STAGE)
    if not ended.stdout.strip():
        raise ClientError(FailureKind.ERROR, ended.reason(), STAGE)
    try:
        return decode(ended.stdout)
    except MisfitError as error:
        text_ = _("its answer is not a report: {reason}").format(reason=error)
        raise ClientError(FailureKind.ERROR, text_, STAGE) from error


def _late(seconds: float) -> ClientError:
    text_ = _("the command did not end within {seconds:.1f} s").format(seconds=seconds)
    return ClientError(FailureKind.NO_ANSWER, text_, STAGE)
