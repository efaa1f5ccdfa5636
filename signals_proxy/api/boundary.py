"""The one place where an error becomes an answer, and where every call gets its audit line.

Rules of the file:

- It is a middleware around the whole of a request: no handler is reached, and none is left, past
  it. What it does not know is a 500 that tells the caller a request id and nothing else.
- The log gets the way that an unknown error took, files, lines and types, but neither messages nor
  variables: either may hold what must not be seen.
- Once an answer has begun, nothing can be taken back: the connection is closed instead.
"""

import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from signals_proxy.api import answer, receive
from signals_proxy.errors import DeliveryFailed, SignalsError, UpstreamError
from signals_proxy.telemetry.audit import Audit, Entry
from signals_proxy.telemetry.log import Log, way_of

__all__ = ["ENTRY", "PeerOf", "boundary", "way_of"]

ENTRY: Final = web.RequestKey("entry", Entry)
"""The audit entry of a request, for its handler to fill in."""

PeerOf = Callable[[web.BaseRequest], str | None]

_log = Log("api")


def boundary(audit: Audit, peer_of: PeerOf) -> Middleware:
    """Return the middleware. ``peer_of`` tells the address of a request's client, if known."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        entry = Entry(
            request_id=secrets.token_hex(16),
            method=request.method,
            address=peer_of(request),
            opaque_id=receive.one_field(request, "X-Opaque-Id"),
            traceparent=receive.one_field(request, "traceparent"),
        )
        request[ENTRY] = entry
        with audit.call(entry):
            response = await _answered(request, handler, entry)
            entry.status = response.status
        if receive.takes_gzip(request) and isinstance(response, web.Response) and response.body:
            response.enable_compression(web.ContentCoding.gzip)
        if receive.awaits_continue(request):
            # Whether the body still comes is the client's choice, and unknown to us: whatever
            # follows on this connection could be either a body or a request (RFC 9110 10.1.1).
            response.force_close()
        return response

    return middleware


async def _answered(request: web.Request, handler: Handler, entry: Entry) -> web.StreamResponse:
    try:
        return await handler(request)
    except SignalsError as error:
        entry.error = type(error).__name__
        if isinstance(error, DeliveryFailed):
            entry.error = str(error.reason)
        if isinstance(error, UpstreamError):
            _log.warning("call failed", request_id=entry.request_id, reason=error.message)
        return answer.of_error(error, pretty=request.query.get("pretty") in {"", "true"})
    except web.HTTPException as error:
        # Of aiohttp's own making: a target that not even the catch-all route takes, such as "*".
        entry.error = type(error).__name__
        return answer.error(error.status, answer.reason(error.status))
    except Exception as error:  # noqa: BLE001  the boundary: there is nobody behind it
        entry.error = type(error).__name__
        _log.error("unexpected error", request_id=entry.request_id, way=way_of(error))
        if request.writer.output_size > 0 and request.transport is not None:
            request.transport.abort()
        return answer.internal_error(entry.request_id)
