"""Whether the cluster answers, and for whom it takes us: nothing is let through before that is known.

Where the proxy shows a certificate of its own to the cluster, everybody who brings no credentials
might become the user of that certificate (see ``relay.identity``). So clients' requests wait until
the cluster has told that they do not.
"""

import asyncio
from typing import Final

from signals_proxy.errors import ConfigError, SharedIdentity, UpstreamError
from signals_proxy.relay import Cluster, Upstream
from signals_proxy.relay.identity import check_identity
from signals_proxy.relay.probe import reach
from signals_proxy.server.material import Tls
from signals_proxy.telemetry.status import ClusterState, StatusPipe

__all__ = ["open_at_start", "shared_identity", "watch"]

ASKED_EVERY_S: Final = 5.0
ASKED_EVERY_S_WHILE_DOWN: Final = 1.0
ASKED_AT_START_S: Final = 5.0


async def watch(upstream: Upstream, tls: Tls | None, cluster: Cluster, status: StatusPipe) -> None:
    """Ask the cluster again and again whether it answers, and tell when that changes.

    ``cluster`` is opened as soon as that may be.
    """
    told: ClusterState | None = None
    while True:
        state = ClusterState(answers=True)
        try:
            await reach(upstream, tls or ())
        except UpstreamError as error:
            state = ClusterState(answers=False, reason=f"no node answers: {error.message}")
        else:
            try:
                await _open(cluster, upstream, tls)
            except UpstreamError as error:
                state = ClusterState(answers=False, reason=error.message)
        if state != told:
            told = state
            status.tell(state)
        await asyncio.sleep(ASKED_EVERY_S if state.answers else ASKED_EVERY_S_WHILE_DOWN)


async def _open(cluster: Cluster, upstream: Upstream, tls: Tls | None) -> None:
    """Let requests through to the cluster, if it is known whom it takes them for.

    :raises SharedIdentity: if that is the user of our certificate.
    :raises UpstreamError: if the cluster does not tell.
    """
    if not cluster.closed_because or tls is None:
        return
    try:
        await check_identity(upstream, tls.clients, tls.decisions)
    except SharedIdentity:
        # Whose certificate it is, the log and the readiness tell; it is nothing for clients.
        cluster.closed_because = (
            "the cluster would take everybody for the user of the proxy's own certificate"
        )
        raise
    cluster.closed_because = ""


async def open_at_start(cluster: Cluster, upstream: Upstream, tls: Tls | None) -> None:
    """Do the same once before anything is served, where a refusal is one to start.

    :raises ConfigError: for a shared identity; what is not known yet can still become known.
    """
    try:
        async with asyncio.timeout(ASKED_AT_START_S):
            await reach(upstream, tls or ())
            await _open(cluster, upstream, tls)
    except SharedIdentity as error:
        raise shared_identity(error) from error
    except (UpstreamError, TimeoutError):
        pass


def shared_identity(error: SharedIdentity) -> ConfigError:
    """Return the error that a start is refused with."""
    return ConfigError(
        error.message,
        remedy="take that setting away, or have the cluster take no user from certificates at this"
        " port; if everybody may be that user: upstream.shared_identity: true",
        path="upstream.client_certificate",
    )
