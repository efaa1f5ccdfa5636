"""A whole proxy whose clients speak TLS."""

import asyncio
import json
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from certified import Certified
from served import LIMIT_S, configure, serve, upstream

ACCOUNT = "/_signals/account/email/default"


@pytest.fixture
def authority(tmp_path: Path) -> Certified:
    return Certified(trustme.CA(), tmp_path)


def renew(authority: Certified, name: str) -> None:
    """Write the proxy's certificate, and its key, over those that there are."""
    issued = authority.authority.issue_cert("127.0.0.1", common_name=name)
    key = authority.folder / "server.key"
    key.touch(0o600)
    key.write_bytes(issued.private_key_pem.bytes())
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    (authority.folder / "server.pem").write_bytes(chain)


def file_for(authority: Certified, url: str, more: str = "") -> Path:
    """Write the configuration of a proxy that shows a certificate to its clients."""
    renew(authority, "first")
    tls = f"tls: {{certificate: server.pem, key: server.key{more}}}\n"
    return configure(authority.folder, url, f"{tls}accounts: {{listen: '127.0.0.1:0'}}\n")


class Client:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, authority: Certified, port: int, shown: str = "") -> "Client":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.authority.configure_trust(context)
        if shown:
            context.load_cert_chain(*authority.files(shown))
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    @property
    def sees(self) -> str:
        """The common name of what the proxy shows."""
        shown = self._writer.get_extra_info("peercert")["subject"]
        return next(value for part in shown for name, value in part if name == "commonName")

    async def ask(
        self, method: str, target: str, body: Any = None, **fields: str
    ) -> tuple[int, bytes]:
        """Return status and body of one request."""
        content = b"" if body is None else json.dumps(body).encode()
        given = {"Host": "localhost", "Content-Type": "application/json", **fields}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {it}" for name, it in given.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""])
        self._writer.write(head.encode() + content)
        async with asyncio.timeout(LIMIT_S):
            answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = answer.partition("content-length: ")[2].partition("\r\n")[0]
            return int(answer.split()[1]), await self._reader.readexactly(int(length))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def ports(serving: dict[str, str]) -> tuple[int, int]:
    both, alone = (int(serving[it].rpartition(":")[2]) for it in ("addresses", "accounts"))
    return both, alone


async def test_accounts(authority: Certified, elasticsearch: str, canary: Any, index: str) -> None:
    """Accounts and everything else are served on one connection; accounts also at their listener."""
    file = file_for(authority, elasticsearch)
    file.write_text(f"{file.read_text()}registry: {{index: {index}}}\n")
    body = {"host": "a.test", "port": 465, "user": "u", "password": canary("password")}
    async with serve(file) as proxy:
        both, alone = ports(await proxy.event("serving"))
        await proxy.event("ready")
        client = await Client.of(authority, both)
        assert (await client.ask("PUT", ACCOUNT, body))[0] == 201
        assert b"cluster_name" in (await client.ask("GET", "/"))[1]
        assert (await client.ask("GET", ACCOUNT))[0] == 200
        await client.close()
        client = await Client.of(authority, alone)
        assert (await client.ask("GET", ACCOUNT))[0] == 200
        await client.close()


async def test_own_pages(authority: Certified) -> None:
    """The origin of the accounts' listener is one of https; a page in clear is another's."""
    async with upstream() as stands, serve(file_for(authority, stands.url)) as proxy:
        _, alone = ports(await proxy.event("serving"))
        for scheme, expected in (("https", 200), ("http", 403)):
            client = await Client.of(authority, alone)
            host = f"localhost:{alone}"
            origin = {"Host": host, "Origin": f"{scheme}://{host}"}
            assert (await client.ask("GET", "/_signals/account/_schema", **origin))[0] == expected
            await client.close()


async def test_a_new_certificate(authority: Certified) -> None:
    """A reload puts it in force for new connections; those that there are are still answered."""
    async with upstream() as stands, serve(file_for(authority, stands.url)) as proxy:
        both, _ = ports(await proxy.event("serving"))
        old = await Client.of(authority, both)
        assert (await old.ask("GET", "/"))[0] == 200
        renew(authority, "second")
        await proxy.reloaded()
        new = await Client.of(authority, both)
        assert (old.sees, new.sees) == ("first", "second")
        for client in (new, old):
            assert (await client.ask("GET", "/"))[0] == 200
            await client.close()


async def test_a_wrong_certificate(authority: Certified) -> None:
    """A reload with a certificate that is not the key's changes nothing, and tells the setting."""
    async with upstream() as stands, serve(file_for(authority, stands.url)) as proxy:
        both, _ = ports(await proxy.event("serving"))
        (authority.folder / "server.pem").write_text(authority.trust)
        proxy.signal(signal.SIGHUP)
        failed = await proxy.event("reload failed")
        assert "tls.certificate: not a certificate in PEM with the key" in str(failed)
        client = await Client.of(authority, both)
        assert (client.sees, (await client.ask("GET", "/"))[0]) == ("first", 200)
        await client.close()


async def test_certificates_of_clients(authority: Certified) -> None:
    """Who shows none is not served, at either listener; the cluster hears of no certificate."""
    trust = authority.folder / "clients.pem"
    trust.write_text(authority.trust)
    more = f", client_certificates: {trust}"
    async with upstream() as stands, serve(file_for(authority, stands.url, more)) as proxy:
        both, alone = ports(await proxy.event("serving"))
        for port in (both, alone):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                client = await Client.of(authority, port)
                await client.ask("GET", "/x")
        assert not any(b"/x" in head for head in stands.heads)
        client = await Client.of(authority, both, "somebody")
        assert (await client.ask("GET", "/x"))[0] == 200
        assert b"somebody" not in b"".join(stands.heads)
        await client.close()
