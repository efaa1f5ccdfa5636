"""What of the network a development cluster needs."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from signals_proxy.embedded import network
from signals_proxy.errors import ConfigError


@contextmanager
def listener(said: bytes) -> Iterator[int]:
    """Listen, and say the same to the first who comes; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_free_address() -> None:
    """An address that nobody has is free, by IPv4 or by name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        network.require_free(host, port, remedy="")


def test_taken_address() -> None:
    """An address that somebody has is told, with the remedy of who asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            network.require_free("127.0.0.1", port, remedy="end it")
    assert (f"127.0.0.1:{port} cannot be listened on: Address already in use", "end it") == (
        str(caught.value),
        caught.value.remedy,
    )


def test_unknown_address() -> None:
    """An address that this machine does not have is told."""
    with pytest.raises(ConfigError, match=r"^192\.0\.2\.1:80 cannot be listened on: "):
        network.require_free("192.0.2.1", 80, remedy="")


def test_node_answers(elasticsearch: str) -> None:
    """A node of a cluster answers."""
    assert network.answers(elasticsearch) == ""


def test_any_status_is_an_answer() -> None:
    """A cluster that asks for credentials answers."""
    with listener(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as port:
        assert network.answers(f"http://127.0.0.1:{port}") == ""


def test_nothing_listens() -> None:
    """A node that is down does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert network.answers(f"http://127.0.0.1:{port}") == "Connection refused"


def test_no_http() -> None:
    """What talks anything but HTTP does not count."""
    with listener(b"220 smtp.example.com\r\n") as port:
        assert network.answers(f"http://127.0.0.1:{port}") == "what answers there is not HTTP"


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What accepts connections and says nothing does not answer."""
    monkeypatch.setattr(network, "_LIMIT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert network.answers(url) == "no answer within 0 s"


def test_untrusted_certificate() -> None:
    """A node with a certificate of an unknown authority is told as such."""
    context = trustme.CA().issue_cert("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.configure_cert(tls)

        def serve() -> None:
            connection, _ = server.accept()
            with connection, pytest.raises(OSError):
                tls.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        reason = network.answers(f"https://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert reason.startswith("its certificate is not trusted: ")
