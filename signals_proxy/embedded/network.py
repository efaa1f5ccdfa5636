"""What of the network a development cluster needs: free addresses, or a cluster that answers."""

import http.client
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from signals_proxy.errors import ConfigError

__all__ = ["answers", "require_free"]

_LIMIT_S: Final = 5.0


def require_free(host: str, port: int, *, remedy: str) -> None:
    """Raise ``ConfigError`` unless the address can be listened on."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as listener:
                # As servers do: connections of the last run that linger are no obstacle.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen()
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {error.strerror}", remedy=remedy
        ) from error


def answers(url: str) -> str:
    """Return why nothing answers HTTP at a node's URL, or nothing if something does.

    Any status will do: a cluster may ask for credentials. At most 5 s.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_LIMIT_S)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message}"
    except TimeoutError:
        return f"no answer within {_LIMIT_S:.0f} s"
    except http.client.HTTPException:
        return "what answers there is not HTTP"
    except OSError as error:
        return error.strerror or str(error)
    finally:
        connection.close()
    return ""
