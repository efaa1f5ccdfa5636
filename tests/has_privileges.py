"""Plays Elasticsearch's security as far as ``POST /_security/user/_has_privileges`` needs it.

x-pack is in no package, so no test can start the real thing. This follows its source, as
``privileges.py`` does. Not played: anonymous users.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from automatons import covers
from privileges import Failed, Role, Subject, checked, question_of

PATH = "/_security/user/_has_privileges"

# authc/Realm and, where tokens and API keys are enabled, security/Security.java.
CHALLENGES = ('Basic realm="security", charset="UTF-8"', 'Bearer realm="security"', "ApiKey")


Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Security:
    """A cluster: its users and keys, what it was asked (with which fields), what is wrong with it.

    ``users`` are passwords and the names of roles; ``keys`` are API keys, ``id:secret``, each with
    its owner and roles of its own. ``connections`` are the paths that were asked for with
    credentials, by the port that they came from. ``stored`` are the actions of named application privileges.
    ``fault`` answers in its place.
    """

    roles: dict[str, Role] = field(default_factory=dict)
    users: dict[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    keys: dict[str, tuple[str, Sequence[Role]]] = field(default_factory=dict)
    stored: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    asked: list[tuple[Mapping[str, str], Any]] = field(default_factory=list)
    connections: dict[int, set[str]] = field(default_factory=dict)
    challenges: Sequence[str] = CHALLENGES
    fault: Fault | None = None
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        assert request.transport is not None
        if "Authorization" in request.headers:
            port = request.transport.get_extra_info("peername")[1]
            self.connections.setdefault(port, set()).add(request.path)
        if request.path == PATH:
            body = await request.read()
            self.asked.append((dict(request.headers), json.loads(body) if body else None))
        if self.fault is not None:
            return await self.fault(request)
        try:
            return web.json_response(self._told(request, await request.read()))
        except Failed as failed:
            answer = web.json_response(failed.body, status=failed.status)
            for challenge in failed.challenges:
                answer.headers.add("WWW-Authenticate", challenge)
            return answer

    def _told(self, request: web.Request, body: bytes) -> Any:
        effective, authenticating = self._authenticated(request)
        # security/rest/SecurityRestFilter and authc/support/SecondaryAuthenticator: it is
        # authenticated before anything is done; an empty one is none. The exception is a new one
        # with the status of its cause, but without its headers.
        secondary = request.headers.get("es-secondary-authorization")
        if secondary:
            try:
                self._subject(secondary, request.path)
            except Failed as failed:
                kind, reason = "security_exception", "Failed to authenticate secondary user"
                raise Failed(failed.status, kind, reason) from None
        if request.path == "/":
            return {"tagline": "You Know, for Search"}
        if request.path != PATH or request.method not in {"GET", "POST"}:
            raise Failed(
                400,
                "illegal_argument_exception",
                f"no handler found for uri [{request.path}] and method [{request.method}]",
            )
        if request.content_type != "application/json":
            raise Failed(406, "media_type_header_exception", "Invalid media-type value")
        if not body:  # RestRequest.contentOrSourceParam
            raise Failed(400, "parse_exception", "request body or source parameter is required")
        question = question_of(effective.name, body)
        # authz/AuthorizationService: whoever may not run as somebody is denied every action, and
        # nobody else is denied this one.
        if authenticating is not None:
            self._may_run_as(authenticating, effective.name)
        return checked(effective, question, self.stored)

    # Who asks.

    def _authenticated(self, request: web.Request) -> tuple[Subject, Subject | None]:
        """Return who the request is made as, and by whom, if that is somebody else."""
        value = request.headers.get("Authorization", "")
        subject = self._subject(value, request.path)
        # security/authc/AuthenticatorChain.maybeLookupRunAsUser
        name = request.headers.get("es-security-runas-user")
        if name is None:
            return subject, None
        if not name:
            raise self._unauthenticated(
                f"unable to authenticate user [{subject.name}] for", request.path
            )
        # "the user does not exist, but we still create a User object, which will later be
        # rejected by authz"
        roles = [self.roles[it] for it in self.users[name][1]] if name in self.users else []
        return Subject(name, roles), subject

    def _subject(self, value: str, path: str) -> Subject:
        # security/authc/service/…, ApiKeyAuthenticator, UsernamePasswordToken: schemes are matched
        # without regard to case; what nobody reads counts as missing.
        scheme, _, rest = value.partition(" ")
        if scheme.lower() in {"basic", "apikey"} and rest:
            try:
                name, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise self._unauthenticated(
                    "unable to authenticate with provided credentials", path
                ) from None
            if scheme.lower() == "basic":
                password, roles = self.users.get(name, (None, ()))
                if password == secret:
                    return Subject(name, [self.roles[it] for it in roles])
            elif f"{name}:{secret}" in self.keys:
                owner, own = self.keys[f"{name}:{secret}"]
                owners = [self.roles[it] for it in self.users[owner][1]]
                return Subject(owner, own or owners, owners if own else None)
            raise self._unauthenticated(f"unable to authenticate user [{name}] for", path)
        raise self._unauthenticated("missing authentication credentials for", path)

    def _unauthenticated(self, reason: str, path: str) -> Failed:
        return Failed(401, "security_exception", f"{reason} REST request [{path}]", self.challenges)

    def _may_run_as(self, subject: Subject, name: str) -> None:
        allowed = [pattern for role in subject.roles for pattern in role.run_as]
        if name not in self.users or not covers([(allowed, ())], [name]):
            # authz/AuthorizationDenialMessages.runAsDenied
            action = "cluster:admin/xpack/security/user/has_privileges"
            raise Failed(
                403,
                "security_exception",
                f"action [{action}] is unauthorized for user [{subject.name}],"
                f" because user [{subject.name}] is unauthorized to run as [{name}]",
            )


@asynccontextmanager
async def security() -> AsyncIterator[Security]:
    """Run a cluster."""
    played = Security()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", played.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    played.url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield played
    finally:
        await runner.cleanup()


# What can be wrong with it.


def saying(status: int, body: bytes, **fields: str) -> Fault:
    """Answer so, whatever is asked."""

    async def answer(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        return web.Response(status=status, body=body, headers=fields)

    return answer


async def cut_off(request: web.Request) -> web.StreamResponse:
    """Begin an answer that says yes, and end the connection in the middle."""
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"username":"a","has_all_requested":true,"cluster":{')
    assert request.transport is not None
    request.transport.abort()
    return answer


async def giant(request: web.Request) -> web.StreamResponse:
    """Answer without end."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65536)


async def silent(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError
