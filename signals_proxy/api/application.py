"""The account API as an aiohttp application.

It is the same behind the relay, which gives it one end of a socket pair, and on a listener of its
own: aiohttp sees plain HTTP in either case.

Rules of the file:

- One route takes everything, whatever its method. With a route for each call a wrong method would
  fall through to somebody else; here there is nobody else.
- Which call a target means is decided by ``account.ref`` from the bytes on the wire, never from
  what aiohttp makes of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from signals_proxy import __version__
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.query import searchable
from signals_proxy.account.ref import Endpoint, parse
from signals_proxy.api import answer, receive, scrolling
from signals_proxy.api.boundary import ENTRY, PeerOf, boundary
from signals_proxy.api.handlers import HANDLERS
from signals_proxy.api.openapi import openapi
from signals_proxy.api.protocol import AccountProtocol
from signals_proxy.api.published import schemas
from signals_proxy.api.rooms import Call, Published, Rooms, Sending
from signals_proxy.authorization import Authorizer
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.errors import NotFound, WrongMethod
from signals_proxy.registry.documents import Registry
from signals_proxy.telemetry.audit import Audit

__all__ = ["BODY_TIMEOUT_S", "RUNNER_OPTIONS", "build", "protocols", "remote_of"]

BODY_TIMEOUT_S: Final = 60.0

_ROOMS: Final = web.AppKey("rooms", Rooms)
_AUDIT: Final = web.AppKey("audit", Audit)
_PEER_OF: Final[web.AppKey[PeerOf]] = web.AppKey("peer_of")
_OWN_PAGES: Final[web.AppKey[str | None]] = web.AppKey("own_pages")
_ANSWERED_IN: Final = web.RequestKey("answered_in", str)


RUNNER_OPTIONS: Final[Mapping[str, Any]] = {
    # Access is told by the audit line.
    "access_log": None,
    # Bodies are inflated here, under the limit that counts what comes out (see ``receive``).
    "auto_decompress": False,
    # A client that leaves ends its call, but for a write that has begun (see ``uninterrupted``).
    "handler_cancellation": True,
    # The relay, or the client, decides when a connection has been idle for too long. A year is
    # long enough to never be first.
    "keepalive_timeout": 365 * 24 * 3600.0,
    # Heads are bounded by the relay; what passes there shall not fail here.
    "max_line_size": 64 * 1024,
    "max_field_size": 64 * 1024,
    "max_headers": 4096,
}
"""Arguments for ``web.AppRunner``, without which the application does not keep its promises."""


def remote_of(request: web.BaseRequest) -> str | None:
    """Return the address of the connection's other end; None for a socket pair, which has none."""
    return request.remote or None


def build(
    *,
    registry: Registry,
    keyring: Keyring,
    types: Mapping[str, AccountType],
    authorizer: Authorizer,
    audit: Audit,
    sending: Sending | None = None,
    peer_of: PeerOf = remote_of,
    body_timeout_s: float = BODY_TIMEOUT_S,
    pass_on: scrolling.PassOn | None = None,
    own_pages: str | None = None,
) -> web.Application:
    """Return the application; run it with ``RUNNER_OPTIONS`` and :func:`protocols`.

    ``sending`` is what accounts are used with, which applications may share; made by the defaults
    of its settings unless given. ``peer_of`` tells the address of a request's client, which a socket pair has none of.
    ``pass_on`` reaches the cluster as a caller does, if anything can: see ``scrolling``.
    ``own_pages`` is the scheme of the origin that it is served at, and lets web pages of that call
    it: nothing else may be served there.
    ``body_timeout_s`` is the time in which a body has to have come whole. The registry is the
    caller's to close.
    """
    sending = sending or Sending.by(DeliverySettings(), registry.health)
    app = web.Application(middlewares=[boundary(audit, peer_of)])
    app[_ROOMS] = Rooms(
        registry=registry,
        keyring=keyring,
        types=types,
        authorizer=authorizer,
        audit=audit,
        sending=sending,
        body_timeout_s=body_timeout_s,
        fields=searchable(types),
        published=Published(schemas(types), openapi(types, sending.messages, __version__)),
    )
    app[_AUDIT] = audit
    app[_PEER_OF] = peer_of
    app[_OWN_PAGES] = own_pages
    app[scrolling.PASS_ON] = pass_on
    # Of aiohttp's decoded path, in which "." would not fit a line break.
    app.router.add_route("*", "/{target:(?s:.*)}", _answer, expect_handler=_leave_to_body)
    app.on_response_prepare.append(_finish)
    return app


def protocols(runner: web.AppRunner) -> Callable[[], AccountProtocol]:
    """Return what makes the protocol of a connection, for ``loop.create_server`` and the like.

    To be used in the place of ``runner.server``, whose protocols answer what they cannot parse in
    a shape of their own. ``runner`` has been made with ``RUNNER_OPTIONS`` and is set up.
    """
    server, app = runner.server, runner.app
    if server is None:
        raise RuntimeError("the runner is not set up")
    registry = app[_ROOMS].registry
    options = {name: it for name, it in RUNNER_OPTIONS.items() if name != "handler_cancellation"}
    return lambda: AccountProtocol(
        server,
        audit=app[_AUDIT],
        peer_of=app[_PEER_OF],
        product=lambda: registry.product,
        methods=tuple(HANDLERS[Endpoint.ACCOUNT]),
        **options,
    )


async def _answer(request: web.Request) -> web.Response:
    rooms, entry = request.app[_ROOMS], request[ENTRY]
    request[_ANSWERED_IN] = receive.answered_in(request)
    target = receive.target(request)
    call = parse(target, rooms.types)
    path = target.partition("?")[0]
    if call is not None:
        methods = HANDLERS[call.endpoint]
        asked = Call(rooms, request, path, call.parameters, call.ref, entry, call.tenant, call.type)
    elif scrolling.is_scroll(target):
        methods = scrolling.HANDLERS
        asked = Call(rooms, request, path, scrolling.query_of(target), None, entry)
    else:
        raise NotFound("Not found")
    if asked.ref is not None:
        entry.account = asked.ref.document_id
    receive.refuse_web_pages(request, but_own=request.app[_OWN_PAGES])
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(
            headers={
                hdrs.ALLOW: ",".join(methods),
                hdrs.CONTENT_TYPE: "text/plain; charset=UTF-8",
            }
        )
    if request.method not in methods:
        raise WrongMethod(
            f"Incorrect HTTP method for uri [{path}] and method [{request.method}], allowed:"
            f" [{', '.join(methods)}]",
            list(methods),
        )
    return await methods[request.method](asked)


async def _leave_to_body(_: web.Request) -> None:
    """Send no ``100 Continue`` yet: ``receive.body`` does, once the body is wanted."""


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    entry = request.get(ENTRY)
    if response.headers.get(hdrs.CONTENT_TYPE) == "application/json":
        response.headers[hdrs.CONTENT_TYPE] = request.get(_ANSWERED_IN, "application/json")
    answer.finish_fields(
        response, request.app[_ROOMS].registry.product, entry.opaque_id if entry else None
    )
