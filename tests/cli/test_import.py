"""``signals-proxy accounts import``: what is taken over, and what is said of the rest."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from played import Reference
from registries import Cluster

from signals_proxy.account import keyring as keyrings
from signals_proxy.account import sealing
from signals_proxy.account.ref import Ref
from signals_proxy.registry.documents import Registry

Run = Callable[..., Awaitable[Any]]
TAKE = {"type": "email", "host": "smtp.example.com", "port": 465, "default_cc": None}


@pytest.fixture
def take(run: Run, proxy: str, reference: Reference) -> Run:
    """Return a function that takes over what the reference product has."""

    async def take(*options: str, **environ: str) -> Any:
        environ = {"SIGNALS_PROXY_URL": proxy, **environ}
        return await run("accounts", "import", reference.url, *options, **environ)

    return take


def email(name: str, **attributes: object) -> dict[str, Any]:
    return {f"email/{name}": {**TAKE, "_name": name, **attributes}}


async def test_all_pages(
    take: Run,
    reference: Reference,
    registry: Registry,
    keyring: keyrings.Keyring,
    cluster: Cluster,
    canary: Callable[[str], str],
) -> None:
    """Accounts of all pages arrive, sealed; credentials go to the server that they are for."""
    password, theirs, ours = canary("password"), canary("theirs"), canary("ours")
    reference.pages = [
        email("a", user="u", password=password, enable_tls=True),
        {"slack/b c": {"type": "slack", "_name": "b c", "url": f"https://x.test/{password}"}},
    ]
    environ = {
        "SIGNALS_PROXY_IMPORT_AUTHORIZATION": f"Bearer {theirs}",
        "SIGNALS_PROXY_AUTHORIZATION": f"Bearer {ours}",
    }
    result = await take("--dry-run", **environ)
    expected = (
        "+ email/a\n    secrets: set (password)\n+ slack/b c\n    secrets: set (url)\n"
        "2 created, 0 updated, 0 unchanged, 0 skipped, 0 refused\n"
    )
    assert (result.returncode, result.stdout, result.stderr) == (3, expected, "")
    assert not cluster.exists()
    result = await take(**environ)
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")
    assert {credentials for _, credentials in reference.asked} == {f"Bearer {theirs}"}
    assert [asked for asked, _ in reference.asked[:4]] == [
        "POST /_signals/account/_search?scroll=25s&size=100",
        "POST /_search/scroll",
        "POST /_search/scroll",
        "DELETE /_search/scroll",
    ]
    stored = await registry.get(Ref("email", "a"))
    assert stored is not None
    account = sealing.open_sealed(stored.account, keyring)
    assert account.secrets["password"].reveal() == password
    assert "default_cc" not in account.public


async def test_what_exists(take: Run, reference: Reference, registry: Registry) -> None:
    """An account that exists is skipped, unless it shall be overwritten."""
    reference.pages = [email("a")]
    await take()
    reference.pages = [{**email("a", port=587), **email("b")}]
    result = await take()
    assert (result.returncode, result.stdout) == (
        0,
        "+ email/b\n1 created, 0 updated, 0 unchanged, 1 skipped, 0 refused\n",
    )
    result = await take("--overwrite")
    assert (result.returncode, result.stdout) == (
        0,
        "~ email/a\n    port: 465 → 587\n0 created, 1 updated, 1 unchanged, 0 skipped, 0 refused\n",
    )
    stored = await registry.get(Ref("email", "a"))
    assert stored is not None
    assert stored.account.source["port"] == 587


async def test_what_is_left_out(
    take: Run, reference: Reference, registry: Registry, secret_value: str
) -> None:
    """What is refused is told, by account and without values, and the others are taken over."""
    reference.pages = [
        {
            **email("good"),
            **email("bad", port=0, passwrod=secret_value, user="u", password=f"{secret_value}\n"),
            **email("hidden", password="::es_redacted::"),
            **email("_odd"),
            **email("half", description="\ud800"),
            **email("huge", description="x" * (1024 * 1024)),
            "mail/a": {"type": "mail", "_name": "a"},
            "Email/good": {**TAKE, "_name": "good"},
            "ops/email/a": {**TAKE, "_name": "a", "_tenant": "ops"},
            "ops/email/b": {**TAKE, "_name": "b", "_tenant": "ops"},
        }
    ]
    result = await take()
    assert result.returncode == 1
    assert result.stdout == (
        "+ email/good\n1 created, 0 updated, 0 unchanged, 0 skipped, 7 refused\n"
    )
    for said in (
        "error: email/bad: passwrod: Unknown attribute; did you mean 'password'?",
        "error: email/bad: password: Invalid value; expected: A string without control characters",
        "error: email/bad: port: Invalid value; expected: An integer from 1 to 65535, without",
        "error: email/hidden: that registry does not give its secrets out",
        "error: email/_odd: ",
        "error: email/half: The body holds half of a surrogate pair",
        "error: email/huge: The account is larger than 1 MiB",
        "error: mail/a: 'type': Unknown account type",
        "error: Email/good: is the same account here as email/good",
        "2 accounts of tenants are left out: ops/email/a, ops/email/b",
    ):
        assert f"signals-proxy: {said}" in result.stderr
    assert await registry.get(Ref("email", "good")) is not None
    assert await registry.get(Ref("email", "bad")) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"timed_out": True}, "found a part of its accounts only; try again later"),
        ({"_shards": {"failed": 1}}, "found a part of its accounts only; try again later"),
        ({"hits": {}}, "does not list its accounts: status 200"),
        ({"hits": {"hits": [{"_id": "email/a"}]}}, "lists accounts in a form that is not known"),
    ],
)
async def test_odd_answers(
    take: Run, reference: Reference, cluster: Cluster, changed: dict[str, Any], said: str
) -> None:
    """A list that may not be whole, or is none, ends it before anything is written."""
    reference.pages, reference.changed = [email("a")], changed
    result = await take()
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"signals-proxy: error: {reference.url} {said}\n"
    assert not cluster.exists()


async def test_without_scrolling(take: Run, reference: Reference) -> None:
    """A registry that knows no scrolling gives what fits one page, or is refused."""
    reference.pages = [email("a")]
    reference.changed = {"_scroll_id": None}
    assert (await take()).stdout.startswith("+ email/a\n1 created")
    reference.pages = [{k: v for n in range(100) for k, v in email(f"a{n}").items()}]
    assert "gives the first 100 accounts only" in (await take()).stderr


async def test_not_asked(take: Run, reference: Reference) -> None:
    """No secret is fetched for a proxy that is none."""
    result = await take(SIGNALS_PROXY_URL=reference.url)
    assert (result.returncode, reference.asked) == (1, [])
