"""What an exchange asks of its client's connection."""

from typing import Protocol

from signals_proxy.errors import SignalsError

__all__ = ["Waiting"]


class Waiting(Protocol):
    """A client's connection, as its exchange knows it."""

    peer: object
    stuck: bool

    @property
    def draining(self) -> bool:
        """Whether the answer that begins is to be the last."""
        ...

    def pass_on(self, data: bytes) -> None:
        """Write bytes of the answer."""
        ...

    def read_ahead(self, data: bytes) -> None:
        """Keep what came before its time."""
        ...

    def take_ahead(self) -> bytes:
        """Return what was kept, and forget it."""
        ...

    def take_body(self) -> bytes:
        """Return what was kept of a body which the client is asked for only now."""
        ...

    def node_is_full(self, full: bool) -> None:
        """Stop, or go on, reading from the client."""
        ...

    def done(self, *, close: bool) -> None:
        """Go on with the next request, or close."""
        ...

    def refuse(self, status: int, reason: str | SignalsError, *, is_head: bool) -> None:
        """Answer in our own words, and close."""
        ...

    def cut_off(self) -> None:
        """End the connection such that the client cannot take the answer for whole."""
        ...
