"""A cluster that takes its callers for who their certificate says they are, and such callers.

It is played: a server on a socket, with TLS that asks for a certificate and needs none. It answers
who its caller is as Elasticsearch's *Authenticate* API does, and OpenSearch's ``authinfo``.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from tls_servers import listening

from signals_proxy.relay import ClientCertificate
from signals_proxy.secret import Secret

ELASTICSEARCH = "/_security/_authenticate"
OPENSEARCH = "/_plugins/_security/authinfo"

Answer = tuple[int, str]
"""Status and body."""


def nobody(_: str, __: str | None) -> Answer:
    """Answer as a cluster that takes no user from a certificate."""
    return 401, "{}"


def elasticsearch(_: str, named: str | None) -> Answer:
    """Answer as Elasticsearch with a PKI realm: by the common name."""
    if named is None:
        return 401, "{}"
    return 200, json.dumps({"username": named, "authentication_realm": {"type": "pki"}})


def anonymous(_: str, __: str | None) -> Answer:
    """Answer as Elasticsearch with an anonymous user, whatever the caller shows."""
    return 200, json.dumps({"username": "_anonymous"})


def opensearch(target: str, named: str | None) -> Answer:
    """Answer as OpenSearch, which does not have the other's call."""
    if target != OPENSEARCH:
        return 400, json.dumps({"error": f"no handler found for uri [{target}] and method [GET]"})
    return (200, json.dumps({"user_name": named})) if named else (401, "Unauthorized")


def without_security(target: str, _: str | None) -> Answer:
    """Answer as a cluster that knows no users."""
    return 400, json.dumps({"error": f"no handler found for uri [{target}] and method [GET]"})


@dataclass
class Certified:
    """The played cluster. ``answer`` may be replaced; ``asked`` are the targets asked for so far."""

    authority: trustme.CA
    folder: Path
    answer: Callable[[str, str | None], Answer] = elasticsearch
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def trust(self) -> str:
        """The certificate of its authority, in PEM."""
        return self.authority.cert_pem.bytes().decode()

    def certificate(self, name: str, setting: str = "upstream") -> ClientCertificate:
        """Return a new certificate for a common name, and its key."""
        issued = self.authority.issue_cert(f"{name}.test", common_name=name)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
        return ClientCertificate(chain.decode(), Secret(key.decode()), setting)

    def files(self, name: str) -> tuple[Path, Path]:
        """Write a new certificate, and its key, into files of their own."""
        made = self.certificate(name)
        certificate, key = (self.folder / f"{name}.{kind}" for kind in ("pem", "key"))
        certificate.write_text(made.certificate)
        key.touch(0o600)
        key.write_text(made.key.reveal())
        return certificate, key

    @asynccontextmanager
    async def serving(self, *, needs: bool = False) -> AsyncIterator[str]:
        """Serve on a free port; yield the URL. ``needs``: nobody is served without a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        context.verify_mode = ssl.CERT_REQUIRED if needs else ssl.CERT_OPTIONAL
        self.authority.configure_trust(context)
        async with listening(self._talk, context) as port:
            yield f"https://127.0.0.1:{port}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("peercert") or {}
        names = {name: value for part in shown.get("subject", ()) for name, value in part}
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = head.split()[1].decode()
            named = names.get("commonName")
            self.asked.append((target, named))
            status, body = self.answer(target, named)
            writer.write(
                f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await writer.drain()
