"""What a local service says when it cannot be had."""


class ServiceError(Exception):
    """A local service cannot be had; the message is for the person at the terminal."""
