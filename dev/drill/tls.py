"""TLS in front of servers that were built without: Heroku's speak nothing else.

A process of its own, so that nothing here waits for the drill's load:

    python -m dev.drill.tls CERTIFICATE.pem postgresql:PORT:SERVERS_PORT redis:PORT:SERVERS_PORT
"""

import asyncio
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from functools import partial

_HOST = "127.0.0.1"
_PIECE_BYTES = 64 * 1024
_SSL_REQUEST_BYTES = 8  # by which a client of PostgreSQL asks for TLS; `S` grants it


async def serve(certificate: str, services: list[str]) -> None:
    """Listen for each of the services, until the process ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    for service in services:
        kind, port, server = service.split(":")
        if kind == "postgresql":
            receive = partial(_postgresql, context, int(server))
            await asyncio.start_server(receive, _HOST, int(port))
        else:
            await asyncio.start_server(partial(_join, int(server)), _HOST, int(port), ssl=context)
    await asyncio.Event().wait()


async def _postgresql(
    context: ssl.SSLContext, server: int, reader: StreamReader, writer: StreamWriter
) -> None:
    try:
        await reader.readexactly(_SSL_REQUEST_BYTES)
        writer.write(b"S")
        await writer.start_tls(context)
    except (OSError, EOFError):
        writer.close()
    else:
        await _join(server, reader, writer)


async def _join(server: int, reader: StreamReader, writer: StreamWriter) -> None:
    """Pass on what either side sends; where the server is away, hang up."""
    try:
        answers, requests = await asyncio.open_connection(_HOST, server)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pass_on(reader, requests), _pass_on(answers, writer))


async def _pass_on(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:  # the other side has gone
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
