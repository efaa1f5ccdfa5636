"""Who may call: hosts, web pages, credentials, and what a backend is asked and says."""

import json
from typing import Any

import pytest
from rawhttp import BODY, exchange, get, put

from signals_proxy.account.ref import Ref
from signals_proxy.authorization import Action, Anybody, Caller, Identity
from signals_proxy.errors import Forbidden, Unauthenticated


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:9201", ""])
async def test_foreign_hosts(client: Any, cluster: Any, host: str) -> None:
    """Without authentication a name that is not the proxy's own is refused (DNS rebinding)."""
    for method in ("GET", "PUT", "DELETE"):
        answer = await client.ask(method, "email/default", json.loads(BODY), Host=host)
        assert (answer.status, answer.json["status"]) == (403, 403)
    assert not cluster.exists()


async def test_two_hosts(client: Any) -> None:
    """Two hosts are none."""
    request = put("Host: evil.example", "Connection: close")
    head, _ = await exchange(client.address, request)
    assert head.split()[1] in {b"400", b"403"}


async def test_listed_hosts(serve: Any) -> None:
    """A name that the configuration lists is the proxy's own."""
    client = await serve(authorizer=Anybody(["proxy.example"]))
    assert (await client.put(json.loads(BODY), Host="proxy.example:9201")).status == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
)
async def test_web_pages(client: Any, cluster: Any, fields: dict[str, str]) -> None:
    """What a browser sends on behalf of a page is refused, whoever it seems to come from."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        body = json.loads(BODY) if method == "PUT" else None
        answer = await client.ask(method, "email/default", body, **fields)
        assert (answer.status, answer.json["error"]) == (403, "Web pages may not use this address.")
    assert (await client.get(Origin=own_origin(client))).status == 403
    assert not cluster.exists()


@pytest.fixture
async def own(serve: Any) -> Any:
    """A client of an address that serves pages of its own."""
    return await serve(own_pages="http")


def own_origin(client: Any) -> str:
    return "http://{}:{}".format(*client.address)


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_pages(own: Any, audit_lines: Any, site: str) -> None:
    """A page of the very address that it calls may, where there are such pages."""
    status = {"GET": 404, "PUT": 201, "OPTIONS": 200, "DELETE": 200}
    for method, expected in status.items():
        body = json.loads(BODY) if method == "PUT" else None
        fields = {"Origin": own_origin(own), "Sec_Fetch_Site": site}
        answer = await own.ask(method, "email/default", body, **fields)
        assert answer.status == expected
        assert not any(name.lower().startswith("access-control") for name in answer.fields)
    assert (await own.get(Origin="HTTP://LocalHost:1", Host="localhost:1")).status == 404
    assert len(audit_lines()) == 5


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "localhost:9202"),
        ("null", "localhost:9202"),
        ("http://localhost", "localhost:9202"),
        ("http://localhost:9201", "localhost:9202"),
        ("https://localhost:9202", "localhost:9202"),
        ("http://localhost:9202.evil.example", "localhost:9202"),
        ("http://localhost:9202/", "localhost:9202"),
        ("http://127.0.0.1:9202", "localhost:9202"),
        ("http://", ""),
        ("http://none", ""),
        ("", "localhost:9202"),
    ],
)
async def test_other_pages(own: Any, cluster: Any, origin: str, host: str) -> None:
    """Every other page is a stranger there too, be it of the same machine."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        body = json.loads(BODY) if method == "PUT" else None
        answer = await own.ask(method, "email/default", body, Origin=origin, Host=host)
        assert (answer.status, answer.json["error"]) == (403, "Web pages may not use this address.")
    assert not cluster.exists()


@pytest.mark.parametrize("site", ["same-site", "cross-site", "", "same-origin, none"])
async def test_what_a_browser_says_of_other_pages(own: Any, site: str) -> None:
    for fields in ({}, {"Origin": own_origin(own)}):
        assert (await own.get(Sec_Fetch_Site=site, **fields)).status == 403


async def test_two_origins(own: Any) -> None:
    """Two are not one's own, be one of them."""
    fields = ("Origin: http://localhost", "Origin: http://evil.example")
    for ordered in (fields, fields[::-1]):
        head, _ = await exchange(own.address, get(*ordered))
        assert head.startswith(b"HTTP/1.1 403 ")
    assert (await exchange(own.address, get(fields[0])))[0].startswith(b"HTTP/1.1 404 ")


async def test_a_person_at_the_address_bar(client: Any) -> None:
    """An address that a person typed is nobody else's request."""
    assert (await client.get(Sec_Fetch_Site="none")).status == 404


class Backend:
    """An authorizer that says what it is told, and remembers what it was asked."""

    def __init__(self, answer: Identity | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Action, Ref | None, str | None, Caller]] = []

    async def require(
        self, action: Action, ref: Ref | None, tenant: str | None, caller: Caller
    ) -> Identity:
        self.asked.append((action, ref, tenant, caller))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


CHALLENGES = ['Basic realm="security", charset="UTF-8"', "ApiKey"]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(Forbidden("You may not.", "kim"), 403), (Unauthenticated("Who are you?", CHALLENGES), 401)],
)
async def test_refusals(
    serve: Any, cluster: Any, refusal: Any, status: int, example: Any, audit_lines: Any
) -> None:
    """Whoever may not, learns nothing and changes nothing; the challenges are the cluster's own."""
    await (await serve()).put(example)
    before = cluster.source()
    backend = Backend(refusal)
    client = await serve(authorizer=backend)
    for method in ("GET", "PUT", "DELETE"):
        for path in ("email/default", "email/other", "emial/x?unknown=1", "t/email/default"):
            body = b"{" if method == "PUT" else None
            answer = await client.ask(method, path, body)
            assert answer.status == status
            assert answer.json == {"status": status, "error": refusal.message}
    assert cluster.source() == before
    actions = [action for action, *_ in backend.asked]
    assert actions == [Action.GET] * 4 + [Action.PUT] * 4 + [Action.DELETE] * 4
    assert [tenant for _, _, tenant, _ in backend.asked][:4] == [None, None, None, "t"]
    lines = audit_lines()[1:]
    assert {line["signals_proxy.allowed"] for line in lines} == {False}
    assert {line["event.outcome"] for line in lines} == {"failure"}
    assert {line.get("user.name") for line in lines} == {getattr(refusal, "user", None)}


async def test_challenges(serve: Any) -> None:
    """Each challenge is a field of its own."""
    client = await serve(authorizer=Backend(Unauthenticated("Who?", CHALLENGES)))
    head, _ = await exchange(client.address, get())
    for challenge in CHALLENGES:
        assert f"\r\nWWW-Authenticate: {challenge}\r\n".encode() in head


async def test_the_caller(serve: Any, canary: Any) -> None:
    """A backend gets the credential fields alone, the address and the host, and names the caller."""
    backend = Backend(Identity("kim"))
    client = await serve(authorizer=backend, peer_of=lambda _: "192.0.2.7")
    credentials = f"Bearer {canary('token')}"
    run_as = canary("run as")
    await client.get(
        Authorization=credentials,
        Es_Security_Runas_User=run_as,
        Cookie=canary("cookie"),
        Host="proxy.example:1",
    )
    ((action, ref, tenant, caller),) = backend.asked
    assert (action, ref, tenant) == (Action.GET, Ref("email", "default"), None)
    assert (caller.address, caller.host) == ("192.0.2.7", "proxy.example:1")
    assert [(name, secret.reveal()) for name, secret in caller.credentials] == [
        ("authorization", credentials),
        ("es-security-runas-user", run_as),
    ]


async def test_repeated_credentials(serve: Any, canary: Any, audit_lines: Any) -> None:
    """A credential field that comes twice is a 400: two readers could take another each."""
    backend = Backend(Identity("kim"))
    client = await serve(authorizer=backend)
    for name in ("Authorization", "es-security-runas-user", "ES-Secondary-Authorization"):
        fields = [f"{name}: {canary('token')}" for _ in range(2)]
        head, body = await exchange(client.address, get(*fields))
        assert head.startswith(b"HTTP/1.1 400 ")
        assert "multiple values" in json.loads(body)["error"]
    assert backend.asked == []
    assert len(audit_lines()) == 3
