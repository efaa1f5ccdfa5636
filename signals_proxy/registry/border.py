"""Where the official client's exceptions end and ours begin.

Rules of the file: every call that leaves the house goes through :func:`border`; what comes out of
it is an :class:`UpstreamError`. A message names what happened and the remedy. It never quotes the
cluster's own reason: that may hold a piece of the document it speaks of.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from elastic_transport import ApiError, ConnectionTimeout, SerializationError, TransportError
from elastic_transport import ConnectionError as ConnectionFailed
from elasticsearch import UnsupportedProductError

from signals_proxy.errors import Lost, NotConnected, Refused, TimedOut, Unavailable, UpstreamError
from signals_proxy.registry.client import NeverConnected

__all__ = ["Unreadable", "border", "error_type", "nonsense", "refusal"]

_UNTOLD: Final = {"json_parse_exception", "json_generation_exception", "x_content_parse_exception"}
"""What Elasticsearch says of a stored document (CBOR, SMILE) that it cannot write as JSON."""


class Unreadable(Refused):
    """No answer that can be read as JSON was given: what is stored may be the cause."""


@contextmanager
def border(act: str) -> Iterator[None]:
    """Turn whatever the client raises within into an :class:`UpstreamError`.

    ``act`` says what was asked of the cluster, such as "read the account".

    Raises :class:`NotConnected` if nothing can have been sent, :class:`TimedOut`, :class:`Lost`,
    :class:`Unavailable` for an answer that asks for patience and :class:`Refused` for any other.
    """
    try:
        yield
    except UnsupportedProductError as error:
        raise Refused(
            f"What answered is not Elasticsearch when it was to {act}: its X-elastic-product is"
            " another; see upstream.hosts."
        ) from error
    except ApiError as error:
        if error_type(error.body) in _UNTOLD:
            raise Unreadable(
                f"The cluster could not put its answer into JSON when it was to {act}."
            ) from error
        raise refusal(act, error.meta.status, error_type(error.body)) from error
    except ConnectionTimeout as error:
        raise TimedOut(f"The cluster did not {act} within the time that was set.") from error
    except NeverConnected as error:
        raise NotConnected(
            f"No connection to the cluster could be made to {act}; see upstream.hosts."
        ) from error
    except ConnectionFailed as error:
        raise Lost(f"The connection to the cluster ended while it was to {act}.") from error
    except SerializationError:
        # From None: the client's message quotes the answer whole.
        raise Unreadable(
            f"The cluster's answer could not be read when it was to {act}: it is not the JSON that"
            " Elasticsearch gives."
        ) from None
    except TransportError as error:
        raise Refused(f"The client of the cluster failed to {act}.") from error


def error_type(body: Any) -> str:
    """Return the ``type`` of an error as Elasticsearch writes it, such as ``security_exception``."""
    error = body.get("error") if isinstance(body, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) else ""


def nonsense(act: str) -> Refused:
    """Return the error for an answer that says it is a success, and is not of its shape."""
    return Refused(
        f"The cluster's answer made no sense when it was to {act}: see whether what upstream.hosts"
        " names is Elasticsearch itself."
    )


def refusal(act: str, status: int, kind: str) -> UpstreamError:
    """Return the error for an answer of the cluster that is not a success.

    ``status`` is the HTTP status of the answer, or of one item of a bulk answer.
    """
    shown = f"{status} {kind}".strip()
    if kind == "cluster_block_exception":
        return Unavailable(
            f"The cluster does not {act} now ({shown}): the registry's index or the whole cluster"
            " is blocked, as it is when a disk is full."
        )
    if status in {401, 403}:
        return Refused(
            f"The cluster does not let the proxy {act} ({shown}): registry.credentials need the"
            " rights to read, write and manage the registry's index."
        )
    if status in {429, 503}:
        return Unavailable(f"The cluster cannot {act} now ({shown}); try again later.")
    if status in {502, 504}:
        # Something between the proxy and the node gave up: the node may still have done it.
        return Lost(f"The cluster's answer was lost when it was to {act} ({shown}).")
    return Refused(f"The cluster refused to {act} ({shown}).")
