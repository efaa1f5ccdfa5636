"""The listening sockets."""

import errno
import os
import socket

import pytest

from signals_proxy import listeners
from signals_proxy.config import Address
from signals_proxy.errors import ConfigError


class TestListeners:
    def test_taken(self) -> None:
        """An address on which somebody listens is refused, also if he would share it."""
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = listeners.bound(other)
            with pytest.raises(ConfigError) as raised:
                listeners.bind([Address("127.0.0.1", 0), address], 2)
        error = raised.value
        assert f"cannot listen on {address}: the address is taken" == error.message
        assert error.path == "listen.1"
        assert f"'sport = :{address.port}'" in error.remedy

    @pytest.mark.parametrize(
        ("host", "message"),
        [
            ("192.0.2.1", "this machine has no such address"),
            ("no-such-name.invalid", "this machine knows no such name"),
        ],
    )
    def test_impossible(self, host: str, message: str) -> None:
        """An address that this machine cannot listen on is told with a reason."""
        with pytest.raises(ConfigError) as raised:
            listeners.bind_alone(Address(host, 1), "health.listen")
        assert f"cannot listen on {host}:1: {message}" == raised.value.message
        assert raised.value.path == "health.listen"

    @pytest.mark.parametrize(
        ("number", "message"),
        [(errno.EACCES, "this user may not"), (errno.ENOBUFS, "no buffer space available")],
    )
    def test_other_reasons(self, number: int, message: str) -> None:
        """What root does not meet, and what nobody does often, is told too."""
        error = OSError(number, os.strerror(number))
        found = listeners._refused(error, Address("127.0.0.1", 80), "listen.0")
        assert found.message == f"cannot listen on 127.0.0.1:80: {message}"
        assert found.remedy.startswith("choose a")

    def test_twice(self) -> None:
        """An address that is named twice has its sockets once, and they stay open."""
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            address = listeners.bound(trial)
        bound = listeners.bind([address, address], 2)
        (sockets,) = bound.values()
        try:
            assert len(sockets) == 2
            more = listeners.bind([address, address], 3, bound)
            (grown,) = more.values()
            assert [*sockets] == [*grown][:2]
            listeners.close(more, bound)
        finally:
            listeners.close(bound)

    def test_shared(self) -> None:
        """Each worker has one socket an address, on the same port, and not to be inherited."""
        bound = listeners.bind([Address("127.0.0.1", 0), Address("::1", 0)], 2)
        try:
            sets = listeners.spread(bound, 2)
            ports = [[listeners.bound(each).port for each in sockets] for sockets in sets]
            assert ports[0] == ports[1]
            assert not any(each.get_inheritable() for sockets in sets for each in sockets)
        finally:
            listeners.close(bound)

    def test_kept(self) -> None:
        """What is there is kept, and shared out; what is added is silent, and can be given up."""
        first = listeners.bind([Address("127.0.0.1", 0), Address("::1", 0)], 2)
        more = listeners.bind([Address("127.0.0.1", 0)], 3, first)
        try:
            (sockets,) = more.values()
            assert list(sockets[:2]) == list(first[socket.AF_INET, ("127.0.0.1", 0)])
            port = listeners.bound(sockets[0]).port
            assert [listeners.bound(each).port for each in sockets] == [port] * 3
            states = [each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in sockets]
            assert states == [1, 1, 0]
            assert listeners.spread(more, 1) == [list(sockets)]
            listeners.close(more, first)
            assert [each.fileno() < 0 for each in sockets] == [False, False, True]
        finally:
            listeners.close(first)
