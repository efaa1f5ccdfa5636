"""What the reference product's Kibana plugin does, by Kibana's client, which writes methods large."""

import signal
from collections.abc import Callable
from pathlib import Path

from canary import Canary
from driven import driven
from registries import Cluster
from rotations import Rotation, configured
from served import configure, serve

from signals_proxy.account import Ref, open_sealed
from signals_proxy.account.document import SealedAccount

COUNT = 250
ACCOUNT = "/_signals/account/email/default"
# The form as it comes up, filled in. It leaves out what is empty, but for lists.
FORM = {
    "type": "email",
    "host": "localhost",
    "port": 1025,
    "mime_layout": "default",
    "session_timeout": 120000,
    "default_from": "signals@example.com",
    "default_to": ["ops@example.com"],
    "default_cc": [],
    "default_bcc": [],
    "enable_tls": False,
    "enable_start_tls": True,
    "trust_all": False,
    "trusted_hosts": [],
    "simulate": False,
    "debug": False,
    "user": "signals",
    "proxy_host": "proxy.example.com",
    "proxy_port": 1080,
    "proxy_user": "signals",
}


async def test_the_account_pages(
    elasticsearch: str,
    rotation: Rotation,
    index: str,
    cluster: Cluster,
    tmp_path: Path,
    canary: Canary,
    saw: Callable[..., None],
) -> None:
    """An account is made in the form, found in the list of all, opened, saved back and deleted."""
    secrets = {name: canary(name) for name in ("password", "proxy_password")}

    def stored() -> SealedAccount:
        return SealedAccount(Ref("email", "default"), cluster.source())

    await rotation.fill(COUNT - 1)
    # The form's account goes by a proxy, which resolves the name.
    more = configured(index, None) + "delivery: {allowed_hosts: ['*', localhost]}\n"
    async with serve(configure(tmp_path, elasticsearch, more)) as proxy:
        address = await proxy.served()
        await proxy.event("ready")
        url = f"http://{address.host}:{address.port}"
        async with driven("Kibana's", url, saw) as client:
            made = await client.get("put", ACCOUNT, FORM | secrets)
            assert made["result"] == "created"

            search = "/_signals/account/_search?scroll=25s"
            page = await client.get("post", search, {"query": {"match": {"type": "email"}}})
            found: list[str] = []
            while page["hits"]["hits"]:
                found += [hit["_id"] for hit in page["hits"]["hits"]]
                scroll = {"scroll": "25s", "scroll_id": page["_scroll_id"]}
                page = await client.get("post", "/_search/scroll", scroll)
            others = {f"email/a{n}" for n in range(COUNT - 1)}
            assert (len(found), set(found)) == (COUNT, others | {"email/default"})
            cleared = await client.get(
                "delete", "/_search/scroll", {"scroll_id": [page["_scroll_id"]]}
            )
            assert cleared == {"succeeded": True, "num_freed": 1}

            opened = (await client.get("get", ACCOUNT))["_source"]
            assert FORM.items() <= opened.items()
            assert {opened[name] for name in secrets} == {"::es_redacted::"}
            before = open_sealed(stored(), rotation.keyring)
            edited = {**FORM, **opened, "default_to": ["ops@example.com", "dev@example.com"]}
            assert (await client.get("put", ACCOUNT, edited))["result"] == "updated"
            assert (await client.get("get", ACCOUNT))["_source"] == edited
            after = open_sealed(stored(), rotation.keyring)
            for account in (before, after):
                assert {n: s.reveal() for n, s in account.secrets.items()} == secrets

            lost = await client.ask("put", ACCOUNT, {**edited, "host": "evil.example.com"})
            assert lost[:2] == ("ResponseError", 400)
            assert set(lost.answer["detail"]) == set(secrets)
            assert (await client.get("delete", ACCOUNT))["result"] == "deleted"
            assert (await client.ask("get", ACCOUNT))[:2] == ("ResponseError", 404)
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
