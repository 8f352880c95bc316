"""Send one mail, within one time limit for the whole conversation."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import IO, Any

from samaops.clients import tls
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.time_limit import TimeLimit
from samaops.config.settings import MailNotification
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "smtp"
# Of one answer. RFC 5321 knows lines of 512 bytes; what a server tells of itself has a few dozen.
_LARGEST_ANSWER_BYTES = 64 * 1024


def send(settings: MailNotification, subject: str, text: str) -> None:
    """Send a mail to all recipients. Raises ClientError, also when one of the recipients is refused."""
    _send(settings, message(settings, subject, text))


def send_page(
    settings: MailNotification, subject: str, text: str, html: str, page: tuple[str, bytes]
) -> None:
    """Send a mail that is told as text and as HTML, with a page (its file name and content) attached. Raises ClientError."""
    mail = message(settings, subject, text)
    mail.add_alternative(html, subtype="html")
    name, content = page
    mail.add_attachment(content, maintype="text", subtype="html", filename=name, params={"charset": "utf-8"})
    _send(settings, mail)


def _send(settings: MailNotification, mail: EmailMessage) -> None:
    def send_it(client: smtplib.SMTP) -> None:
        refused = client.send_message(mail)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    _converse(settings, send_it)


def try_out(settings: MailNotification) -> None:
    """Do all but send a mail: log in, and ask whether sender and recipients are taken. Raises ClientError."""

    def ask(client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        code, words = client.mail(settings.sender)
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, words, settings.sender)
        answers = {recipient: client.rcpt(recipient) for recipient in settings.recipients}
        refused = {name: answer for name, answer in answers.items() if answer[0] not in (250, 251)}
        client.rset()
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    _converse(settings, ask)


def _converse(settings: MailNotification, talk: Callable[[smtplib.SMTP], None]) -> None:
    with TimeLimit(settings.timeout) as limit:
        try:
            _log_in_and(talk, settings, limit)
        except (smtplib.SMTPException, OSError) as error:
            raise _sorted(error, limit) from error
        except UnicodeEncodeError:  # its words would hold the password
            words = _("user or password hold other signs than ASCII, which a log-in by SMTP cannot carry")
            raise ClientError(FailureKind.AUTHENTICATION, words, STAGE) from None
        except ValueError as error:  # base64 that is none, a name that no command can hold
            raise ClientError(FailureKind.GARBAGE, str(error)[:300], STAGE) from error


def message(settings: MailNotification, subject: str, text: str) -> EmailMessage:
    """Return a mail; a line break in the subject would be a header of its own."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(subject.split())[:200]
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2] or None)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    return mail


class _Answers:
    """What the server says, a line at a time, and of one answer not more than fits: smtplib would keep all of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.left = _LARGEST_ANSWER_BYTES

    def readline(self, size: int) -> bytes:
        line = self._file.readline(size)
        self.left -= len(line)
        if self.left < 0:
            message = _("the answer is larger than {size} bytes").format(size=_LARGEST_ANSWER_BYTES)
            raise ClientError(FailureKind.GARBAGE, message, STAGE)
        return line

    def close(self) -> None:
        self._file.close()


class _Client(smtplib.SMTP):
    """smtplib's client whose sockets end with the time limit, also when the server drips."""

    def __init__(self, limit: TimeLimit, context: ssl.SSLContext | None) -> None:
        super().__init__(timeout=limit.seconds)
        self._limit = limit
        self._context_at_once = context

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:  # noqa: ARG002 - smtplib's
        connection = socket.create_connection((host, port), self._limit.remaining())
        self._limit.watch(connection)
        if self._context_at_once is None:
            return connection
        return self._context_at_once.wrap_socket(connection, server_hostname=host)

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer. Raises ClientError where it has no end."""
        if self.file is None and self.sock is not None:
            self.file = _Answers(self.sock.makefile("rb"))
        if isinstance(self.file, _Answers):
            self.file.left = _LARGEST_ANSWER_BYTES
        return super().getreply()


def _log_in_and(talk: Callable[[smtplib.SMTP], None], settings: MailNotification, limit: TimeLimit) -> None:
    context = tls.verifying(settings.ca_file) if settings.encryption != "none" else None
    client = _Client(limit, context if settings.encryption == "tls" else None)
    try:
        # connect() does not keep the name, and starttls() verifies the certificate against it
        client._host = settings.host  # type: ignore[attr-defined]
        code, words = client.connect(settings.host, settings.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        if settings.encryption == "starttls":
            client.starttls(context=context)
        if settings.username is not None:
            client.login(settings.username, settings.password.reveal() if settings.password else "")
        talk(client)
        with contextlib.suppress(smtplib.SMTPException, OSError, ClientError):  # it has been accepted
            client.quit()
    finally:
        client.close()


def _sorted(error: Exception, limit: TimeLimit) -> ClientError:
    if limit.is_expired or isinstance(error, TimeoutError):
        message = _("no answer within {seconds:g} s").format(seconds=limit.seconds)
        return ClientError(FailureKind.NO_ANSWER, message, STAGE)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return ClientError(FailureKind.AUTHENTICATION, _words(error.smtp_code, error.smtp_error), STAGE)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        refused = [f"{name}: {_words(*answer)}" for name, answer in error.recipients.items()]
        return ClientError(FailureKind.ERROR, "; ".join(refused)[:300], STAGE)
    if isinstance(error, smtplib.SMTPResponseException):
        kind = FailureKind.UNAVAILABLE if 400 <= error.smtp_code < 500 else FailureKind.ERROR
        return ClientError(kind, _words(error.smtp_code, error.smtp_error), STAGE)
    if isinstance(error, smtplib.SMTPException):
        is_closed = isinstance(error, smtplib.SMTPServerDisconnected)
        return ClientError(FailureKind.CLOSED if is_closed else FailureKind.ERROR, str(error)[:300], STAGE)
    return ClientError(
        kind_of_os_error(error, False), getattr(error, "strerror", None) or str(error)[:300], STAGE
    )


def _words(code: int, answer: bytes | str) -> str:
    words = answer.decode("utf-8", "backslashreplace") if isinstance(answer, bytes) else answer
    return " ".join(f"{code} {words}".split())[:200]
