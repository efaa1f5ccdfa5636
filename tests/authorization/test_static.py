"""The backend ``static``: who is let in, and what is computed until that is known."""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from nacl.pwhash import argon2id

from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible
from signals_proxy.authorization import (
    Action,
    Authorizer,
    Caller,
    Grant,
    Identity,
    Rights,
    User,
    passwords,
)
from signals_proxy.authorization.static import StaticUsers
from signals_proxy.errors import Forbidden, TooManyAttempts, Unauthenticated
from signals_proxy.secret import Secret

REF = Ref("email", "default")
RIGHTS = Rights(
    {
        "all": [Grant(frozenset(Action), frozenset("*"))],
        "use": [Grant(frozenset({Action.GET, Action.SEARCH}), frozenset({"email/*"}))],
    },
    {"email", "slack"},
)
CHALLENGES = ('Basic realm="signals_proxy", charset="UTF-8"',)
CACHE_S = 3600
LIMIT_S = 30


class Hashing:
    """Sees each computation of a hash in a thread as it begins, and can hold it up there."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.held: threading.Semaphore | None = None
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Queue[None] = asyncio.Queue()

    async def begun(self) -> None:
        """Wait until the next computation has begun."""
        async with asyncio.timeout(LIMIT_S):
            await self._begun.get()

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is argon2id.verify.__code__:
            self.hashes.append(frame.f_locals["password_hash"])
            self._loop.call_soon_threadsafe(self._begun.put_nowait, None)
            assert self.held is None or self.held.acquire(timeout=LIMIT_S)


@pytest.fixture
async def hashing() -> AsyncIterator[Hashing]:
    """What is computed, watched by the interpreter's own hook: of every thread but the loop's."""
    watched = Hashing()
    threading.setprofile(watched.profile)
    yield watched
    threading.setprofile(None)  # type: ignore[arg-type]  # typeshed forgets that it may be


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def hashed(password: str, passes: int = 1) -> Secret:
    """Return a hash that is cheap to compute."""
    return Secret(argon2id.str(password.encode(), passes, argon2id.MEMLIMIT_MIN).decode())


def of(*fields: tuple[str, str], address: str | None = "192.0.2.1") -> Caller:
    return Caller(tuple((name, Secret(value)) for name, value in fields), address, None)


def basic(text: str, address: str | None = "192.0.2.1", encoding: str = "utf-8") -> Caller:
    token = base64.b64encode(text.encode(encoding)).decode()
    return of(("authorization", f"Basic {token}"), address=address)


@pytest.fixture
def password(canary: Callable[[str], str]) -> str:
    return canary("password")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(password: str, clock: Clock) -> Authorizer:
    """Kim may do everything, Zoë may look at the accounts for e-mail."""
    found = {
        "kim": User(hashed(password), ("all",)),
        "Zoe\u0308": User(hashed(f"{password}:ü", 2), ("use", "unheard of")),
    }
    return StaticUsers(found, RIGHTS, CACHE_S, clock)


async def require(users: Authorizer, caller: Caller, action: Action = Action.GET) -> Identity:
    return await users.require(action, REF, None, caller)


async def test_right(users: Authorizer, password: str) -> None:
    """A user is who his password says, in any address's, any case's and any normal form's name."""
    assert await require(users, basic(f"kim:{password}")) == Identity("kim")
    for text in (f"Zoë:{password}:ü", f"Zoe\u0308:{password}:u\u0308"):
        assert await require(users, basic(text, None)) == Identity("Zoë")
    (field,) = basic(f"kim:{password}").credentials
    caller = of(("authorization", field[1].reveal().replace("Basic", "bAsIC")))
    assert await require(users, caller) == Identity("kim")


async def test_rights(users: Authorizer, password: str) -> None:
    """What a user may do is what his roles say."""
    caller = basic(f"Zoë:{password}:ü")
    with pytest.raises(Forbidden, match=r"^No right to put the account email/default\.$"):
        await users.require(Action.PUT, REF, None, caller)
    with pytest.raises(Forbidden):
        await users.require(Action.GET, Ref("slack", "default"), None, caller)
    found = await users.require(Action.SEARCH, None, None, caller)
    assert found == Identity("Zoë", Visible(frozenset({"email/*"})))


async def test_wrong(users: Authorizer, password: str, hashing: Hashing) -> None:
    """Whatever is wrong of user and password, the answer is the same, and one hash is computed."""
    await require(users, basic(f"kim:{password}"))
    wrong = [
        f"kim:{password}x",
        "kim:",
        f"Kim:{password}",
        f"KIM :{password}",
        f":{password}",
        ":",
        f"Zoë:{password}",
        f"nobody:{password}",
        f"nobody:{password}:ü",
    ]
    told = set()
    for number, text in enumerate(wrong):
        with pytest.raises(Unauthenticated) as raised:
            await require(users, basic(text, f"198.51.100.{number}"))
        told.add((raised.value.message, tuple(raised.value.challenges)))
        assert raised.value.__cause__ is raised.value.__context__ is None
    assert told == {("The user or the password is wrong.", CHALLENGES)}
    assert len(hashing.hashes) == 1 + len(wrong)


async def test_nobody_costs_as_much(users: Authorizer, password: str, hashing: Hashing) -> None:
    """For an unknown user the costliest hash is computed, and even if it fits he is not let in."""
    with pytest.raises(Unauthenticated):
        await require(users, basic(f"nobody:{password}:ü"))
    (found,) = hashing.hashes
    assert b",t=2," in found
    assert passwords.verify(Secret(found.decode()), Secret(f"{password}:ü"))


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !",
        "Basic a2lt",  # kim
        "Basic a2ltOmtpbQ",  # without padding
        "Basic a2ltOmtpbR==",  # with bits beyond the end
        "Basic a2ltOmtpbQ==\n",
        "Basic a2lt OmtpbQ==",
        "Basic  a2ltOmtpbQ==",
        "Basic a2ltOmtpbQ== x",
        "Basic\ta2ltOmtpbQ==",
        "Basic \udcff",
        "Basic a2ltOv8=",  # kim:\xff
        "Basic " + base64.b64encode(b"kim:" + b"x" * 2046).decode(),
        "Bearer a2ltOmtpbQ==",
        "ApiKey a2ltOmtpbQ==",
        "a2ltOmtpbQ==",
    ],
)
async def test_malformed(field: str, hashing: Hashing) -> None:
    """What is not Basic to the letter is no log-in, even if it could be read as a right one."""
    users = StaticUsers({"kim": User(hashed("kim"), ("all",))}, RIGHTS, CACHE_S)
    with pytest.raises(Unauthenticated, match=r"^Authorization has to be Basic") as raised:
        await require(users, of(("authorization", field)))
    assert raised.value.challenges == CHALLENGES
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert hashing.hashes == []
    assert await require(users, of(("authorization", "Basic a2ltOmtpbQ=="))) == Identity("kim")


async def test_other_credentials(users: Authorizer, password: str, hashing: Hashing) -> None:
    """Nothing else says who somebody is, and nothing takes anybody's place."""
    with pytest.raises(Unauthenticated, match=r"^The request carries no user and no password\.$"):
        await require(users, of())
    ((name, right),) = basic(f"kim:{password}").credentials
    for other in ("es-security-runas-user", "es-secondary-authorization"):
        for fields in ([(other, right.reveal())], [(name, right.reveal()), (other, "zoe")]):
            with pytest.raises(Unauthenticated, match=f"cannot log in with {other}") as raised:
                await require(users, of(*fields))
            assert raised.value.challenges == CHALLENGES
    assert hashing.hashes == []


# --- what is remembered, and what is slowed down -------------------------------------------------


async def wrong(users: Authorizer, text: str, address: str = "192.0.2.1") -> None:
    with pytest.raises(Unauthenticated):
        await require(users, basic(text, address))


async def too_many(users: Authorizer, text: str, address: str = "192.0.2.1") -> int:
    with pytest.raises(TooManyAttempts) as raised:
        await require(users, basic(text, address))
    return raised.value.retry_after_s


async def test_remembered(users: Authorizer, password: str, hashing: Hashing) -> None:
    """The same log-in is hashed once, right or wrong, also of many at a time; no other is."""
    callers = [basic(f"kim:{password}", f"198.51.100.{number % 4}") for number in range(20)]
    found = await asyncio.gather(*(require(users, caller) for caller in callers))
    assert set(found) == {Identity("kim")}
    assert len(hashing.hashes) == 1
    for _ in range(10):
        await wrong(users, f"kim:{password}x")
    assert len(hashing.hashes) == 2
    await wrong(users, f"kim:{password}y")
    await require(users, basic(f"kim:{password}", "198.51.100.1"))
    assert len(hashing.hashes) == 3


async def test_slowed_down(
    users: Authorizer, password: str, clock: Clock, hashing: Hashing
) -> None:
    """After five failures nothing is hashed until the wait is over, not even what is right."""
    for number in range(5):
        await wrong(users, f"user {number}:x")
    assert await too_many(users, f"kim:{password}") == 1
    assert len(hashing.hashes) == 5
    clock.now = 1
    await wrong(users, "kim:x")
    assert await too_many(users, f"kim:{password}") == 2
    assert await require(users, basic(f"kim:{password}", "198.51.100.1")) == Identity("kim")
    clock.now = 3
    assert await require(users, basic(f"Zoë:{password}:ü")) == Identity("Zoë")
    await wrong(users, "kim:y")  # his success forgave the address


async def test_refused_at_once(users: Authorizer, password: str, hashing: Hashing) -> None:
    """Who has to wait takes no place among those whose log-ins are looked at."""
    for number in range(5):
        await wrong(users, f"user {number}:x")
        await hashing.begun()
    hashing.held = threading.Semaphore(0)
    right = asyncio.create_task(require(users, basic(f"kim:{password}", "198.51.100.1")))
    await hashing.begun()
    assert await too_many(users, "kim:x") == 1
    hashing.held.release()
    assert await right == Identity("kim")


async def test_the_right_one_is_never_held_up(password: str) -> None:
    """Whoever logged in goes on, whatever strangers do, even from the very same address."""
    users = StaticUsers({"kim": User(hashed(password), ("all",))}, RIGHTS, 0, Clock())
    right = basic(f"kim:{password}")
    await require(users, right)
    for number in range(20):
        with suppress(TooManyAttempts, Unauthenticated):
            await require(users, basic(f"kim:{number}"))
        assert await require(users, right) == Identity("kim")
    assert await too_many(users, "kim:x") > 0


async def test_at_once(users: Authorizer, password: str, hashing: Hashing) -> None:
    """Of many guesses at a time five are looked at; as many log-ins that are right all succeed."""
    guesses = [require(users, basic(f"kim:{number}", "198.51.100.1")) for number in range(50)]
    found = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(each) for each in found] == [Unauthenticated] * 5 + [TooManyAttempts] * 45
    assert len(hashing.hashes) == 5
    many = {f"user {number}": User(hashed(password), ("all",)) for number in range(20)}
    users = StaticUsers(many, RIGHTS, CACHE_S, Clock())
    names = await asyncio.gather(*(require(users, basic(f"{name}:{password}")) for name in many))
    assert names == [Identity(name) for name in many]


async def test_the_loop_never_waits(users: Authorizer, password: str, hashing: Hashing) -> None:
    """While a hash is computed, all else goes on; sixty-four wait, and the next is put off."""
    hashing.held = threading.Semaphore(0)
    waiting = [asyncio.create_task(require(users, basic(f"kim:{password}")))]
    await hashing.begun()
    for number in range(63):
        caller = basic(f"kim:{number}", f"198.51.100.{number}")
        waiting.append(asyncio.create_task(require(users, caller)))
    while await is_let_wait(users, f"Zoë:{password}:ü"):
        pass
    assert len(hashing.hashes) == 1
    assert [each.done() for each in waiting] == [False] * 64
    hashing.held.release(64)
    kim, *others = await asyncio.gather(*waiting, return_exceptions=True)
    assert kim == Identity("kim")
    assert {type(each) for each in others} == {Unauthenticated, TooManyAttempts}
    assert await require(users, basic(f"Zoë:{password}:ü")) == Identity("Zoë")


async def is_let_wait(users: Authorizer, text: str) -> bool:
    """Tell whether a log-in waits for its turn, and take it away then."""
    asked = asyncio.create_task(require(users, basic(text, "203.0.113.1")))
    for _ in range(5):  # it is a task in a task
        await asyncio.sleep(0)
    if asked.cancel():
        with pytest.raises(asyncio.CancelledError):
            await asked
        return True
    with pytest.raises(TooManyAttempts, match=r"being looked at; try again in 1 s\.$"):
        await asked
    return False


async def test_leaving(users: Authorizer, password: str, hashing: Hashing) -> None:
    """One who leaves while he is looked at has failed; nothing is stuck for others."""
    hashing.held = threading.Semaphore(0)
    for number in range(5):
        leaving = asyncio.create_task(require(users, basic(f"kim:{number}")))
        await hashing.begun()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        hashing.held.release()
    hashing.held.release()
    assert await too_many(users, f"kim:{password}") == 1
    assert await require(users, basic(f"kim:{password}", "203.0.113.1")) == Identity("kim")


async def test_nothing_is_told(users: Authorizer, password: str) -> None:
    """No password is in what is kept."""
    await require(users, basic(f"kim:{password}"))
    await wrong(users, f"kim:{password}x")
    assert password not in repr([vars(users), vars(users._cache)])
