"""Mails: composed from the templates beside this, and handed to the server of `MAIL_URL`."""

import asyncio
import logging
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from config import settings
from values import storable

log = logging.getLogger(__name__)

# For all of it, from the lookup of the server's name to its last word: a worker that is told to end
# waits for it, and has 25 s.
TOTAL_SECONDS = 20.0
_PORTS = {"smtp": 587, "smtps": 465}
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class Deferred(Exception):
    """The mail was not taken now, and may be later; the message says why."""


class Refused(Exception):
    """The mail will not be taken, ever; the message says why."""


def compose(recipient: str, subject: str, name: str, message_id: str, **shown: Any) -> EmailMessage:
    """The mail of the templates `name`.txt and `name`.html. Raises Refused for a bad address.

    `message_id` is what it has each time it is sent, so that mail programs know it again.
    """
    message = EmailMessage()
    sender = Address(settings.shop_name, addr_spec=settings.mail_from)
    message["From"], message["To"] = sender, _address(recipient)
    message["Subject"] = subject
    message["Date"] = localtime()
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is to be answered
    shown = {"shop": settings.shop_name, **shown}
    message.set_content(_templates.get_template(f"{name}.txt").render(shown))
    html = _templates.get_template(f"{name}.html").render(shown)
    message.add_alternative(html, subtype="html")
    return message


def _address(recipient: str) -> Address:
    try:
        return Address(addr_spec=recipient)
    except (MessageError, ValueError, IndexError) as error:  # what its parser raises
        raise Refused(f"{recipient!r} is no address to send mails to: {error}") from None


def send(message: EmailMessage) -> None:
    """Hand a mail to the server, or write it into the log. Raises Deferred, Refused."""
    if settings.mail_url == "console:":
        part = message.get_body(("plain",))
        text = part.get_content() if part else ""
        log.info("mail to %s: %s\n%s", message["To"], message["Subject"], text)
        return
    try:
        asyncio.run(_send(message))
    except SMTPRecipientsRefused as error:
        raise _refusal(error.recipients[0]) from None
    except SMTPResponseException as error:
        raise _refusal(error) from None
    except aiosmtplib.SMTPNotSupported as error:
        raise Refused(storable(str(error))) from None
    except TimeoutError:
        raise Deferred(f"The server took longer than {TOTAL_SECONDS:.0f} seconds.") from None
    except (SMTPException, OSError) as error:
        raise Deferred(storable(str(error)) or type(error).__name__) from None


async def _send(message: EmailMessage) -> None:
    server = urlsplit(settings.mail_url)
    async with asyncio.timeout(TOTAL_SECONDS):
        await aiosmtplib.send(
            message,
            hostname=server.hostname,
            port=server.port or _PORTS[server.scheme],
            username=unquote(server.username) if server.username else None,
            password=unquote(server.password) if server.password else None,
            use_tls=server.scheme == "smtps",  # otherwise TLS is begun where the server offers it
            timeout=TOTAL_SECONDS,
        )


def _refusal(error: SMTPResponseException) -> Deferred | Refused:
    """RFC 5321, 4.2.1: what begins with 5 will never do; anything else may."""
    answer = storable(f"{error.code} {error.message}")
    return Refused(answer) if 500 <= error.code < 600 else Deferred(answer)
