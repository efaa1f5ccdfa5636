"""Guessing is slowed down, and nobody else is; whatever is tried, little is remembered."""

import contextlib
import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals_proxy.authorization.attempts import Attempts
from signals_proxy.errors import TooManyAttempts

ADDRESS = "192.0.2.1"


def wait_s(attempts: Attempts, user: str, address: str | None, now: float) -> int:
    """Return for how long an attempt is put off, 0 if it is not; it is not made."""
    try:
        attempts.check(user, address, now)
    except TooManyAttempts as error:
        return error.retry_after_s
    return 0


def fail(attempts: Attempts, user: str, address: str | None, now: float) -> None:
    """Fail as soon as it is possible."""
    attempts.begin(user, address, now + wait_s(attempts, user, address, now))


def test_an_address() -> None:
    """Five failures are free, whoever is tried; then waits double, up to a minute."""
    attempts, now, waits = Attempts(), 0.0, []
    for number in range(14):
        waits.append(wait_s(attempts, f"user {number}", ADDRESS, now))
        now += waits[-1]
        attempts.begin(f"user {number}", ADDRESS, now)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_user() -> None:
    """Guesses at one user wait for 5 s at most, however many addresses they come from."""
    attempts, now, waits = Attempts(), 0.0, []
    for number in range(1000):
        address = f"198.51.100.{number % 200}"
        waits.append(wait_s(attempts, "admin", address, now))
        now += waits[-1]
        attempts.begin("admin", address, now)
    assert waits[:5] == [0] * 5
    assert waits[5:8] == [1, 2, 4]
    # Rounds of 200 addresses: the second round's failures are those of addresses that have failed.
    assert waits[8:200] == [5] * 192
    assert max(waits) == 5


def test_refused_attempts_do_not_count() -> None:
    """Who does not wait long enough waits no longer for that."""
    attempts = Attempts()
    for _ in range(5):
        attempts.begin("kim", ADDRESS, 0)
    for at in (0, 0.1, 0.5, 0.9):
        with pytest.raises(
            TooManyAttempts, match=r"^Too many log-ins have failed; try again in 1 s"
        ):
            attempts.begin("kim", ADDRESS, at)
    attempts.begin("kim", ADDRESS, 1)
    assert wait_s(attempts, "kim", ADDRESS, 1) == 2


def test_at_once() -> None:
    """Of attempts that all begin before the first one ends, five are looked at."""
    attempts, begun = Attempts(), 0
    for _ in range(100):
        with contextlib.suppress(TooManyAttempts):
            attempts.begin("kim", ADDRESS, 0)
            begun += 1
    assert begun == 5


def test_success_forgives() -> None:
    """Who logs in begins anew, and so does the address that he came from."""
    attempts = Attempts()
    for at in range(5):
        attempts.begin("kim", ADDRESS, at)
    attempts.begin("kim", ADDRESS, 10)
    attempts.succeeded("kim", ADDRESS)
    assert wait_s(attempts, "kim", ADDRESS, 10) == 0
    for _ in range(5):
        attempts.begin("kim", ADDRESS, 10)
    assert wait_s(attempts, "kim", ADDRESS, 10) == 1


def test_no_lock_out() -> None:
    """A stranger's failures hold up neither other users elsewhere, nor the same one."""
    attempts, now = Attempts(), 0.0
    for _ in range(30):
        now += wait_s(attempts, "admin", "203.0.113.9", now)
        attempts.begin("admin", "203.0.113.9", now)
    assert wait_s(attempts, "admin", "203.0.113.9", now) == 60
    assert wait_s(attempts, "kim", ADDRESS, now) == 0
    assert wait_s(attempts, "admin", ADDRESS, now) == 0
    # From an address that has failed itself: for 5 s, not for a minute.
    attempts.begin("kim", ADDRESS, now)
    assert wait_s(attempts, "admin", ADDRESS, now) == 5
    attempts.succeeded("admin", "203.0.113.8")
    assert wait_s(attempts, "admin", ADDRESS, now) == 0


def test_forgotten() -> None:
    """Failures are forgotten after ten quiet minutes, not sooner."""
    attempts = Attempts()
    for at in range(5):
        fail(attempts, "kim", ADDRESS, at)
    fail(attempts, "kim", ADDRESS, 600)
    assert wait_s(attempts, "kim", ADDRESS, 600) == 2
    for _ in range(5):
        attempts.begin("kim", ADDRESS, 1201)
    assert wait_s(attempts, "kim", ADDRESS, 1201) == 1


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        (None, None, True),
        (None, "unix:", True),
        (None, "192.0.2.1", False),
        (None, "::", False),
    ],
)
def test_addresses(one: str | None, other: str | None, is_same: bool) -> None:
    """An IPv6 client has a whole /64; all whose address is not known are one."""
    attempts = Attempts()
    for number in range(5):
        attempts.begin(f"user {number}", one, 0)
    assert (wait_s(attempts, "kim", other, 0) > 0) is is_same


MOST = 4
STEPS = st.lists(
    st.tuples(
        st.text(max_size=1),
        st.one_of(st.none(), st.ip_addresses(v=4, network=ipaddress.IPv4Network("192.0.2.0/29"))),
        st.floats(0, 700),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=200)
def test_whatever_happens(steps: list[tuple[str, object, float, bool]]) -> None:
    """Memory is bounded, no wait is over its limit or endless, success always forgives."""
    attempts, now = Attempts(MOST), 0.0
    for user, found, passed_s, succeeds in steps:
        now += passed_s
        address = None if found is None else str(found)
        wait = wait_s(attempts, user, address, now)
        assert wait <= 60
        assert wait_s(attempts, user, address, now + 60) == 0
        assert wait_s(attempts, user, "2001:db8::1", now) <= 5
        if wait == 0:
            attempts.begin(user, address, now)
            if succeeds:
                attempts.succeeded(user, address)
                assert wait_s(attempts, user, address, now) == 0
        assert len(attempts._addresses) <= MOST
        assert len(attempts._users) <= MOST


def test_the_one_that_failed_first_makes_room() -> None:
    """Who goes on failing is remembered, however many others there are."""
    attempts = Attempts(MOST)
    for number in range(0, 300, 2):
        for now in (100.0 * number, 100.0 * number + 100):
            attempts.begin(f"user {now}", f"2001:db8:{number:x}:{now % 200:.0f}::", now)
        fail(attempts, "kim", ADDRESS, now)
    assert wait_s(attempts, "paul", ADDRESS, now) == 60
    for _ in range(5):
        attempts.begin("new", "203.0.113.9", now)
    assert wait_s(attempts, "new", "203.0.113.9", now) == 1
