"""Whom the cluster takes a request without credentials for, and whether a certificate made it so.

A proxy that shows a certificate of its own to the cluster may be taken for the user of that
certificate, and so may everybody who reaches the proxy and brings no credentials. That is no slip
that a request could be refused for: to the cluster it is simply that user's.
"""

import json
import ssl
from typing import Final

from signals_proxy.errors import Refused, SharedIdentity, UpstreamError
from signals_proxy.relay.cluster import Cluster
from signals_proxy.relay.errand import ask
from signals_proxy.relay.upstream import Upstream

__all__ = ["check_identity"]

# Where each kind of cluster tells its caller who he is, and in which member.
_WHO: Final = (
    (b"/_security/_authenticate", "username"),
    (b"/_plugins/_security/authinfo", "user_name"),
)
_NO_SUCH_CALL: Final = frozenset({400, 404, 405})
_TIMEOUT_S: Final = 10.0
_HEAD_SIZE: Final = 64 * 1024  # bytes, of an answer


async def check_identity(
    upstream: Upstream, shown: ssl.SSLContext, not_shown: ssl.SSLContext
) -> None:
    """Check that a certificate makes nobody of those who bring no credentials somebody.

    ``shown`` is the context with that certificate, ``not_shown`` one without: who is somebody
    there as well, such as the cluster's anonymous user, is so without the certificate.

    :raises SharedIdentity: if it does.
    :raises UpstreamError: if the cluster does not answer this.
    """
    name = await _caller(upstream, shown)
    if name is None:
        return
    try:
        other = await _caller(upstream, not_shown)
    except UpstreamError:  # a cluster that talks to nobody without a certificate
        other = None
    if name != other:
        raise SharedIdentity(
            f"upstream.client_certificate makes the cluster take everybody for its user"
            f" {name[:100]!r} who brings no credentials"
        )


async def _caller(upstream: Upstream, tls: ssl.SSLContext) -> str | None:
    """Return whom a request without credentials comes from; None if from nobody."""
    cluster = Cluster(upstream, tls, _HEAD_SIZE)
    try:
        for target, member in _WHO:
            head = b"GET %b HTTP/1.0\r\nAccept: application/json\r\n\r\n" % target
            status, _, body = await ask(cluster, head, b"", timeout_s=_TIMEOUT_S)
            if status == 401:
                return None
            if status == 200:
                return _name(body, member)
            if status not in _NO_SUCH_CALL:
                raise Refused(
                    f"the cluster does not tell whom it takes the proxy for (status {status})"
                )
    finally:
        cluster.close()
    return None


def _name(body: bytes, member: str) -> str | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    name = found.get(member, body) if isinstance(found, dict) else body
    if name is not None and not isinstance(name, str):
        raise Refused("the cluster tells in no known form whom it takes the proxy for")
    return name
