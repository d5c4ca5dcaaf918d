"""What a process remembers for a while: a map that forgets its oldest entry rather than grow."""

from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """At most `size` values by name, safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[str, T] = {}
        self._lock = Lock()

    def get(self, name: str) -> T | None:
        """What was put there last, unless it is forgotten."""
        return self._values.get(name)  # a single lookup needs no lock

    def put(self, name: str, value: T) -> None:
        """Remember a value, as the newest."""
        with self._lock:
            self._values.pop(name, None)
            if len(self._values) >= self._size:
                del self._values[next(iter(self._values))]
            self._values[name] = value

    def drop(self, name: str) -> None:
        """Forget one, if it is there."""
        with self._lock:
            self._values.pop(name, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()

    def __len__(self) -> int:
        return len(self._values)
