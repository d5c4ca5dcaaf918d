"""A way to Redis that can become half-open: what is sent on it vanishes, and nobody hangs up."""

import socket
import threading
from selectors import EVENT_READ, DefaultSelector
from typing import Self

_AT_ONCE = 64 * 1024


class Proxy:
    """Passes TCP connections on to Redis at a port of this machine.

    `cut` lets all that is sent vanish, on connections old and new, in both directions. After `mend`
    new connections pass; those from before stay dead without a word, as when a router on the way
    has forgotten them: their ends can find out by nothing but silence.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._is_cut = False
        self._lock = threading.Lock()  # between cutting and passing on
        self._peers: dict[socket.socket, socket.socket | None] = {}  # None: what comes vanishes
        self._selector = DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def cut(self) -> None:
        """Pass nothing on, neither now nor later, of what is connected and of what will be."""
        with self._lock:
            self._is_cut = True
            self._peers = dict.fromkeys(self._peers)

    def mend(self) -> None:
        """Pass new connections on."""
        with self._lock:
            self._is_cut = False

    def __enter__(self) -> Self:
        self._selector.register(self._listener, EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._selector.close()
        for each in (self._listener, *self._peers):
            each.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.1):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._is_cut:
            self._add(client, None)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        self._add(client, server)
        self._add(server, client)

    def _add(self, end: socket.socket, peer: socket.socket | None) -> None:
        self._peers[end] = peer
        self._selector.register(end, EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        peer = self._peers[end]
        try:
            data = end.recv(_AT_ONCE)
            if data and peer is not None:
                peer.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._close(end)
            if peer is not None:
                self._close(peer)

    def _close(self, end: socket.socket) -> None:
        del self._peers[end]
        self._selector.unregister(end)
        end.close()
