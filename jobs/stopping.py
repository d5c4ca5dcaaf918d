"""Whether this process has been told to end: then a job goes back to the queue after its step."""

_asked = False


def ask(*_: object) -> None:
    """Tell this process's jobs to stop; a signal handler."""
    global _asked  # noqa: PLW0603  # a process is told once, for good
    _asked = True


def asked() -> bool:
    """Whether the process is about to end."""
    return _asked
