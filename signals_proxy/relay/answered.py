"""What a connection to a node asks of those it belongs to: an exchange, and its pool in between."""

from typing import Protocol, TypeVar

from signals_proxy.relay.head import Request, Response

__all__ = ["Answered", "Home"]

T_contra = TypeVar("T_contra", contravariant=True)


class Answered(Protocol):
    """A client, as a connection to a node knows it."""

    request: Request
    request_is_sent: bool
    head_size: int

    @property
    def request_is_adorned(self) -> bool:
        """Whether its body has chunk extensions or trailers."""
        ...

    def informed(self, response: Response, head: bytes) -> None:
        """Pass on an interim answer (RFC 9110 15.2)."""
        ...

    def edit(self, response: Response, head: bytes, *, endless: bool) -> bytes:
        """Return the head of the final answer as the client is to see it.

        ``endless``: only the connection's end will tell where its body ends.
        """
        ...

    def passed(self, data: bytes) -> None:
        """Pass on bytes of the answer."""
        ...

    def answered(self) -> None:
        """Take notice that the answer is whole, and the connection no longer the client's."""
        ...

    def lost(self, reason: str, *, untouched: bool) -> None:
        """Take notice that the rest of the answer will never come; ``untouched``: no byte did."""
        ...

    def node_is_full(self, full: bool) -> None:
        """Stop, or go on, sending."""
        ...


class Home(Protocol[T_contra]):
    """Where a connection belongs when it serves nobody."""

    response_head_size: int

    def take_back(self, connection: T_contra) -> None:
        """Keep a connection for the next request."""
        ...

    def forget(self, connection: T_contra) -> None:
        """Take notice that the connection has ended."""
        ...
