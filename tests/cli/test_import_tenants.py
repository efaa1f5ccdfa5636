"""``signals-proxy accounts import --tenant``: accounts of tenants, which stay theirs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from registries import Cluster

from signals_proxy.account.ref import Ref
from signals_proxy.registry.documents import Registry

Run = Callable[..., Awaitable[Any]]
EMAIL = {"type": "email", "host": "smtp.example.com", "port": 465}
ROOT = "/_signals/account/"


def account(name: str, **attributes: object) -> dict[str, Any]:
    """Return a hit."""
    *_, account_id = name.split("/")
    source = {**EMAIL, "_name": account_id, **attributes}
    return {"_index": ".signals_accounts", "_id": name, "_score": 1.0, "_source": source}


class Tenanted:
    """Another registry: ``found`` is what each search of it finds, by the path after the root."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        hits = self.found.get(request.raw_path.partition("?")[0].removeprefix(ROOT))
        if hits is None:
            return web.json_response({"status": 405, "error": "Unexpected http method"}, status=405)
        return web.json_response({"hits": {"hits": hits}})


@pytest.fixture
async def other() -> AsyncIterator[Tenanted]:
    """A registry with tenants."""
    other = Tenanted()
    app = web.Application()
    app.router.add_post("/{path:.*}", other.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    other.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield other
    await runner.cleanup()


@pytest.fixture
def take(run: Run, proxy: str, other: Tenanted) -> Run:
    """Return a function that takes over what the other registry has."""

    async def take(*options: str) -> Any:
        return await run("accounts", "import", other.url, *options, SIGNALS_PROXY_URL=proxy)

    return take


async def test_tenants(
    take: Run, other: Tenanted, registry: Registry, canary: Callable[[str], str]
) -> None:
    """Those that are named are taken over with the global accounts, and keep their tenants."""
    password = canary("password")
    secret = {"user": "u", "password": password, "enable_tls": True}
    shared = account("email/a", _tenant="_main")
    other.found = {
        "_search": [shared, account("dev/email/x", _tenant="dev")],
        "o%20ps/_search": [shared, account("o ps/email/a", _tenant="o ps", **secret)],
        # Of some types the tenant is lost, but for the id.
        "qa/_search": [shared, account("qa/email/a")],
    }
    result = await take("--tenant", "o ps", "--tenant", "qa")
    assert result.returncode == 0
    assert result.stdout == (
        "+ email/a\n+ o ps/email/a\n    secrets: set (password)\n+ qa/email/a\n"
        "3 created, 0 updated, 0 unchanged, 0 skipped, 0 refused\n"
    )
    assert result.stderr == (
        "signals-proxy: 1 accounts of tenants are left out: dev/email/x\n"
        "signals-proxy: hint: --tenant NAME takes over those of a tenant\n"
    )
    for ref in (Ref("email", "a"), Ref("email", "a", "o ps"), Ref("email", "a", "qa")):
        stored = await registry.get(ref)
        assert stored is not None
        assert stored.account.source.get("_tenant") == ref.tenant
        assert password not in str(stored.account.source)


async def test_what_cannot_be(take: Run, other: Tenanted, registry: Registry) -> None:
    """Ids that name no account, or another one than the document does, are refused and told."""
    other.found = {
        "_search": [account("a"), account("email/b", _tenant="ops"), account("a/b/c/d")],
        "ops/_search": [account("ops/email/c", _tenant="dev"), account("ops/email/_d")],
    }
    result = await take("--tenant", "ops")
    assert result.returncode == 1
    assert result.stdout == "0 created, 0 updated, 0 unchanged, 0 skipped, 5 refused\n"
    for name in ("a", "email/b", "a/b/c/d", "ops/email/c"):
        said = f"error: {name}: its _id and its _tenant do not name one account\n"
        assert said in result.stderr
    assert "error: ops/email/_d: " in result.stderr
    assert await registry.get(Ref("email", "c", "ops")) is None


async def test_tenants_without_accounts(take: Run, other: Tenanted) -> None:
    """A tenant that the registry has nothing of, such as one that is misspelt, is warned of."""
    other.found = {"_search": [account("email/a")], "opps/_search": [account("email/a")]}
    result = await take("--tenant", "opps", "--dry-run")
    assert (result.returncode, result.stdout.splitlines()[0]) == (3, "+ email/a")
    assert result.stderr == (
        f"signals-proxy: warning: {other.url} shows no account of the tenant opps\n"
    )


async def test_registries_without_tenants(take: Run, other: Tenanted, cluster: Cluster) -> None:
    """One that does not know of tenants ends it before anything is written."""
    other.found = {"_search": [account("email/a")]}
    result = await take("--tenant", "ops")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"signals-proxy: error: {other.url} does not list the accounts of the tenant ops:"
        " Unexpected http method\n"
    )
    assert not cluster.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Email", "A tenant may not be named like an account type"),
        ("_ops", "no tenant, type or id begins with '_'"),
        ("_main", "the global accounts are taken over in any case"),
        ("a/b", "holds one of '/"),
        ("", "is empty"),
        ("\udcff", "not UTF-8"),
    ],
)
async def test_names_of_no_tenant(run: Run, name: str, said: str) -> None:
    """They are refused before anything is asked."""
    result = await run("accounts", "import", "http://127.0.0.1:1", "--tenant", name)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


async def test_endless_pages(take: Run, other: Tenanted, cluster: Cluster) -> None:
    """All pages together are bounded, as each is."""
    large = [account("email/a", description="x" * (50 << 20))]
    other.found = {"_search": large, "one/_search": large, "two/_search": large}
    result = await take("--tenant", "one", "--tenant", "two")
    assert (result.returncode, result.stdout) == (1, "")
    assert "gives more than 100000 accounts, or 128 MiB of them" in result.stderr
    assert not cluster.exists()
