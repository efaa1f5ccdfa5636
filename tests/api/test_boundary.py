"""Errors that become answers: of the cluster, of callers, and those that nobody foresaw."""

import asyncio
import fcntl
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from faults import Fault
from rawhttp import BODY, exchange, get

from signals_proxy.api import protocols
from signals_proxy.api.boundary import boundary, way_of
from signals_proxy.authorization import Identity
from signals_proxy.errors import SignalsError, TimedOut, Unauthenticated
from signals_proxy.telemetry.audit import Audit, AuditSettings


class Broken:
    """An authorizer that fails in ways of its own."""

    def __init__(self, error: BaseException, cause: BaseException | None = None) -> None:
        self._error = error
        self._cause = cause

    async def require(self, *_: Any) -> Identity:
        raise self._error from self._cause


async def test_what_nobody_foresaw(
    serve: Any, canary: Any, audit_lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown error is a 500 with a request id; the log has its way, but no message of it."""
    error, cause = ValueError(f"not {canary('message')}"), KeyError(canary("cause"))
    client = await serve(authorizer=Broken(error, cause))
    answer = await client.put({"host": canary("host")})
    (line,) = audit_lines()
    request_id = line["http.request.id"]
    assert answer.status == 500
    assert answer.json == {
        "status": 500,
        "error": f"Internal error; the proxy's log tells more about request {request_id}.",
    }
    assert (line["http.response.status_code"], line["error.type"]) == (500, "ValueError")
    (record,) = [it for it in caplog.records if it.name == "signals_proxy.api"]
    assert record.fields["request_id"] == request_id
    way = record.fields["way"]
    assert "handlers.py" in way
    assert way.index("builtins.ValueError") < way.index("builtins.KeyError")
    assert record.exc_info is None


def test_contexts() -> None:
    """An error's context belongs to its way, unless it was left out on purpose."""

    def fail(*, suppress: bool) -> None:
        try:
            {}["key"]
        except KeyError:
            if suppress:
                raise ValueError from None
            raise ValueError  # noqa: B904  that is what is tested

    for suppress, expected in ((False, True), (True, False)):
        with pytest.raises(ValueError, match=r"^$") as caught:
            fail(suppress=suppress)
        assert ("builtins.KeyError" in way_of(caught.value)) == expected


async def test_an_authorizer_that_cannot_decide(serve: Any, audit_lines: Any) -> None:
    """A backend that does not answer is never a yes, and its line says that nobody decided."""
    client = await serve(authorizer=Broken(TimedOut("No decision.")))
    answer = await client.put(json.loads(BODY))
    assert (answer.status, answer.json) == (504, {"status": 504, "error": "No decision."})
    (line,) = audit_lines()
    assert "signals_proxy.allowed" not in line


async def test_the_cluster_is_away(
    serve: Any, connected: Any, unused_tcp_port: int, audit_lines: Any
) -> None:
    """Without a node every call is a 503 that says what to look at."""
    client = await serve(registry=connected(f"http://127.0.0.1:{unused_tcp_port}"))
    for method in ("GET", "PUT", "DELETE"):
        body = json.loads(BODY) if method == "PUT" else None
        answer = await client.ask(method, "email/default", body)
        assert answer.status == 503
        assert "upstream.hosts" in answer.json["error"]
        assert "X-elastic-product" not in answer.fields
    assert [line["error.type"] for line in audit_lines()] == ["NotConnected"] * 3


async def test_the_cluster_is_lost(
    serve: Any, connected: Any, faulty_wire: Any, audit_lines: Any, cluster: Any
) -> None:
    """A write that nobody can tell of is a 502; one that is found after all a success."""
    client = await serve(registry=connected(faulty_wire.url))
    faulty_wire.plan(b"POST /_bulk", Fault.LOSE_REQUEST)
    answer = await client.put(json.loads(BODY))
    assert answer.status == 502
    assert cluster.source() is None
    faulty_wire.plan(b"POST /_bulk", Fault.LOSE_ANSWER)
    assert (await client.put(json.loads(BODY))).status == 201
    faulty_wire.plan(b"POST /_bulk", Fault.LOSE_ANSWER)
    answer = await client.delete()
    assert (answer.status, answer.json["_version"]) == (200, 2)
    assert [line.get("error.type") for line in audit_lines()] == ["Lost", None, None]


async def test_a_foreign_index(client: Any, cluster: Any) -> None:
    """An index of another product is refused by name, and stays as it is."""
    cluster.put({"host": "smtp.example.com"})
    for method in ("GET", "PUT", "DELETE"):
        body = json.loads(BODY) if method == "PUT" else None
        answer = await client.ask(method, "email/default", body)
        assert answer.status == 503
        assert "dynamic is not set" in answer.json["error"]
    assert cluster.source() == {"host": "smtp.example.com"}


async def test_audit_lines(client: Any, example: Any, audit_lines: Any) -> None:
    """Every call has one line: who, from where, what, which account, allowed, outcome, ids."""
    steps = [
        ("PUT", "email/default", example, 201),
        ("PUT", "email/default", {**example, "port": "x"}, 400),
        ("PUT", "email/default?op_type=create", example, 409),
        ("GET", "t/email/default", None, 404),
        ("HEAD", "email/default", None, 200),
        ("POST", "email/default", None, 405),
        ("OPTIONS", "email/default", None, 200),
        ("GET", "_search", None, 200),
        ("GET", "t/_search", None, 200),
        ("GET", "email/_x", None, 400),
        ("DELETE", "email/default", None, 200),
    ]
    for method, path, body, status in steps:
        answer = await client.ask(method, path, body, X_Opaque_Id="cron", Traceparent="00-aa-bb-01")
        assert answer.status == status
    lines = audit_lines()
    assert [line["http.response.status_code"] for line in lines] == [it[3] for it in steps]
    assert [line["http.request.method"] for line in lines] == [it[0] for it in steps]
    assert [line.get("event.action") for line in lines] == [
        *["account/put"] * 3,
        *["account/get"] * 2,
        *[None] * 2,
        *["account/search"] * 2,
        None,
        "account/delete",
    ]
    assert [line.get("signals_proxy.account") for line in lines] == [
        *["email/default"] * 3,
        "t/email/default",
        *["email/default"] * 3,
        *[None] * 3,
        "email/default",
    ]
    assert [line.get("signals_proxy.tenant") for line in lines] == [
        *[None] * 3,
        "t",
        *[None] * 4,
        "t",
        *[None] * 2,
    ]
    assert [line.get("signals_proxy.allowed") for line in lines] == [
        *[True] * 5,
        *[None] * 2,
        *[True] * 2,
        None,
        True,
    ]
    assert [line.get("signals_proxy.result") for line in lines][::10] == ["created", "deleted"]
    assert {line["client.address"] for line in lines} == {"127.0.0.1"}
    assert {line["signals_proxy.x_opaque_id"] for line in lines} == {"cron"}
    assert {line["signals_proxy.traceparent"] for line in lines} == {"00-aa-bb-01"}
    assert len({line["http.request.id"] for line in lines}) == len(steps)


async def test_calls_that_cannot_be_recorded(
    serve: Any, cluster: Any, tmp_path: Path, example: Any
) -> None:
    """Nothing is read or written that the audit trail was not told of, if it has to be."""
    file = tmp_path / "audit.json"
    audit = Audit(AuditSettings(file, required=True), patience_s=0.01)
    client = await serve(audit=audit)
    with file.open("rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)  # a disk that does not answer
        for method, path, body in (
            ("PUT", "email/default", example),
            ("PUT", "email/default", b"{"),
            ("PUT", "email/default?dry_run", example),
            ("GET", "email/default", None),
            ("DELETE", "email/default", None),
            ("DELETE", "t/email/default", None),
            ("POST", "_search", None),
            ("POST", "t/_search", b"{"),
        ):
            answer = await client.ask(method, path, body)
            assert (answer.status, answer.json["status"]) == (503, 503)
            assert "nothing was done" in answer.json["error"]
        assert (await client.get("_schema")).status == 200  # what everybody may know
        assert (await client.get(Host="evil.example")).status == 403
        assert not cluster.exists()
    await audit.close()
    phases = [json.loads(line)["signals_proxy.phase"] for line in file.read_text().splitlines()]
    assert phases == ["intent", "outcome"] * 8 + ["outcome"] * 2


async def test_recorded_calls_that_crash_or_are_refused(serve: Any, tmp_path: Path) -> None:
    """Whatever becomes of a call, it has one line of its outcome; one that is refused no intent."""
    file = tmp_path / "audit.json"
    audit = Audit(AuditSettings(file, required=True))
    for error, status in ((ValueError(), 500), (Unauthenticated("Who?", []), 401)):
        client = await serve(audit=audit, authorizer=Broken(error))
        assert (await client.get()).status == status
    assert (await (await serve(audit=audit)).get("emial/x")).status == 404
    await audit.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.get("http.response.status_code") for line in lines] == [500, 401, None, 404]


def bare(handler: Any) -> web.Application:
    """Return an application with the boundary around a handler of the test's."""
    app = web.Application(middlewares=[boundary(Audit(), lambda _: None)])
    app.router.add_route("*", "/{any:.*}", handler)
    return app


async def test_an_answer_that_has_begun(
    audit_lines: Any, canary: Any, unused_tcp_port: int
) -> None:
    """An error after the head was sent ends the connection, so that nobody takes half for whole."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise KeyError(canary("message"))

    runner = web.AppRunner(bare(half), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    writer.write(get().replace(b"Connection: close\r\n", b""))
    answer = b""
    try:
        answer = await reader.read()
    except ConnectionResetError:
        answer += b"reset"
    assert b"HTTP/1.1 500" not in answer
    assert b"\r\n0\r\n\r\n" not in answer
    writer.close()
    await runner.cleanup()
    assert [line["error.type"] for line in audit_lines()] == ["KeyError"]


@pytest.mark.parametrize(
    "failure", [web.HTTPRequestEntityTooLarge(1, 2), web.HTTPNotFound(), web.HTTPForbidden()]
)
async def test_errors_of_the_web_server(
    failure: web.HTTPException, unused_tcp_port: int, audit_lines: Any
) -> None:
    """An error of aiohttp's own gets our shape."""

    async def fail(_: web.Request) -> web.StreamResponse:
        raise failure

    runner = web.AppRunner(bare(fail), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    _, body = await exchange(("127.0.0.1", unused_tcp_port), get())
    await runner.cleanup()
    assert json.loads(body)["status"] == failure.status
    assert len(audit_lines()) == 1


def test_protocols_need_a_runner() -> None:
    """A runner that is not set up has nothing to make protocols for."""
    runner = web.AppRunner(web.Application())
    with pytest.raises(RuntimeError, match="not set up"):
        protocols(runner)


def test_every_error_has_a_status() -> None:
    """Every class of error that can reach the boundary has a status that HTTP knows."""

    def below(kind: type[SignalsError]) -> set[type[SignalsError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    assert all(HTTPStatus(kind.status) for kind in below(SignalsError))
    assert Unauthenticated in below(SignalsError)
