"""A POST to an address that somebody has given us: to public addresses alone, and never for long.

The name is looked up once, and the connection goes to the very addresses that were looked at: a
name that means another one a moment later gains nothing. Redirects are answers like any other.
"""

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address, ip_network
from threading import Timer
from urllib.parse import quote, urlsplit

from config import settings
from values import storable

# Standard Webhooks recommends 15 to 30 s; a worker's lease is 60 s.
TOTAL_SECONDS = 20.0
_CONNECT_SECONDS = 5.0
_MOST_ADDRESSES = 4  # of a host are tried: as many as there is time for
MAX_BYTES = 4096  # of an answer, of which no more than its status matters
_KEPT_BY_URLS = "%/?:@!$&'()*+,;=~[]"
_TLS = ssl.create_default_context()
# Public by themselves, they stand for other addresses: IPv4 mapped, translated and tunnelled.
_STANDING_FOR_OTHERS = tuple(
    map(ip_network, ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered: its beginning, as text, and the header Retry-After."""

    status: int
    text: str
    retry_after: str | None


class Unreachable(Exception):
    """No answer was had; the message says why."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip = ip_address(address.partition("%")[0])
    embeds = any(ip.version == net.version and ip in net for net in _STANDING_FOR_OTHERS)
    return ip.is_global and not ip.is_multicast and not embeds


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    """Send `body` to an http or https address, within TOTAL_SECONDS. Raises Unreachable."""
    parts = urlsplit(url)
    target = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", _KEPT_BY_URLS)
    connection = _Connection(parts.hostname or "", parts.port, is_tls=parts.scheme == "https")
    guard = Timer(TOTAL_SECONDS, connection.hang_up)
    guard.start()
    try:
        connection.request("POST", target, body, dict(headers))
        response = connection.getresponse()
        text = storable(response.read(MAX_BYTES).decode(errors="replace"))
        if connection.is_late:  # what was cut off looks like an answer that has ended
            raise TimeoutError
        return Reply(response.status, text, response.headers["Retry-After"])
    except (OSError, HTTPException, ValueError) as error:
        late = f"There was no whole answer within {TOTAL_SECONDS:.0f} seconds."
        reason = late if connection.is_late else str(error) or type(error).__name__
        raise Unreachable(storable(reason)) from None
    finally:
        guard.cancel()
        connection.close()


class _Connection(HTTPConnection):
    """A connection to the addresses of a host that have been looked at."""

    def __init__(self, host: str, port: int | None, *, is_tls: bool) -> None:
        super().__init__(host, port or (443 if is_tls else 80), timeout=TOTAL_SECONDS)
        # The header Host names the port unless it is this one.
        self.default_port = 443 if is_tls else 80
        self._is_tls = is_tls
        self.is_late = False

    def connect(self) -> None:
        """Connect to the first address that takes us. Raises OSError."""
        self.sock = self._plain()
        if self.is_late:  # there was nothing yet to hang up
            raise TimeoutError
        if self._is_tls:
            # The guard has to have it in hand during the handshake too.
            self.sock = _TLS.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def _plain(self) -> socket.socket:
        for address in _addresses(self.host, self.port)[:_MOST_ADDRESSES]:
            with suppress(OSError):
                found = socket.create_connection((address, self.port), _CONNECT_SECONDS)
                found.settimeout(TOTAL_SECONDS)
                return found
        raise ConnectionError("Nobody takes a connection there.")

    def hang_up(self) -> None:
        """End it, from another thread: whoever waits for the other side stops waiting."""
        self.is_late = True
        with suppress(OSError, AttributeError):  # it may just have ended, or not have begun
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises PermissionError if any of them is not public."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(address[0]) for *_, address in found]
    hidden = [address for address in addresses if not is_public(address)]
    if hidden and not settings.webhooks_allow_private:
        raise PermissionError(f"{host} is {hidden[0]}, which is no public address.")
    return addresses
