"""A real SMTP server, in a process of its own: `python -m tests.mail_server PORT MODE FOLDER`.

MODE: `accepts`, with each mail as a file in FOLDER; `hangs` after it has greeted; `defers` (451) or
`refuses` (550) the recipient; `greylists`, which is to defer the first time and accept the second;
`falters`: defers every hundredth.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from pathlib import Path

import psutil
from aiosmtpd.smtp import SMTP, Envelope, Session

from dev.services import free_port
from tests.processes import ROOT, wait_for

READY = "ready"


class _Handler:
    """Answers RCPT and DATA by its mode."""

    def __init__(self, mode: str, folder: Path) -> None:
        self._mode = mode
        self._folder = folder
        self._asked = 0
        self._numbers = count(len([*folder.glob("*.eml")]))

    async def handle_EHLO(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str
    ) -> str:
        if self._mode == "hangs":
            await asyncio.sleep(3600)
        session.host_name = hostname
        return "250 HELP"

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        self._asked += 1
        if self._mode == "refuses":
            return "550 5.1.1 Nobody of that name"
        if self._is_deferred():
            return "451 4.7.1 Come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def _is_deferred(self) -> bool:
        match self._mode:
            case "defers":
                return True
            case "greylists":
                return self._asked == 1
            case "falters":
                return self._asked % 100 == 0
        return False

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        number = next(self._numbers)
        recipients = ",".join(envelope.rcpt_tos)
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        (self._folder / f"{number}.part").write_bytes(f"X-To: {recipients}\r\n".encode() + content)
        (self._folder / f"{number}.part").rename(self._folder / f"{number}.eml")
        return "250 OK"


async def _serve(port: int, mode: str, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    handler = _Handler(mode, folder)
    server = await loop.create_server(
        lambda: SMTP(handler, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", port
    )
    (folder / READY).touch()
    await server.serve_forever()


class MailServer:
    """A running server, as a test sees it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"smtp://127.0.0.1:{port}"
        self._folder = folder

    def mails(self) -> list[EmailMessage]:
        """What it has accepted, in order; `X-To` is the envelope's recipients."""
        files = sorted(self._folder.glob("*.eml"), key=lambda file: int(file.stem))
        found = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [mail for mail in found if isinstance(mail, EmailMessage)]


@contextmanager
def mail_server(folder: Path, mode: str = "accepts") -> Iterator[MailServer]:
    """A server in a process, for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / READY).unlink(missing_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "tests.mail_server", str(port), mode, str(folder)]
    process = psutil.Popen(command, cwd=ROOT)
    try:
        wait_for("the mail server is ready", (folder / READY).exists)
        yield MailServer(port, folder)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
