"""The composition root: every room built and joined. Read ``worker`` first."""

from signals_proxy.server.material import Tls, keyring_of, listener_tls, tls_for
from signals_proxy.server.watch import shared_identity
from signals_proxy.server.worker import serve

__all__ = ["Tls", "keyring_of", "listener_tls", "serve", "shared_identity", "tls_for"]
