"""The memory for decisions: how long they stand, for whom, and how many there are."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.authorization.cache import Cache

TTL_S = 10


class Clock:
    """Stands still, unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Backend:
    """Answers with how often it was asked; while ``open`` is not set, it keeps all waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.failure: Exception | None = None
        self.asking = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        self.asking.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return number


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> Cache[int]:
    return Cache(TTL_S, 100, clock)


@pytest.fixture
def backend() -> Backend:
    return Backend()


async def begun(cache: Cache[int], backend: Backend, parts: Sequence[str]) -> "asyncio.Task[int]":
    """Return a caller that waits for the backend."""
    caller = asyncio.create_task(cache.get(parts, backend))
    await backend.asking.wait()
    return caller


async def test_time(cache: Cache[int], clock: Clock, backend: Backend) -> None:
    """A decision stands until its time is over, however often it is looked at."""
    for later, number in ((0, 1), (9.9, 1), (0.1, 2), (9.9, 2), (1000, 3)):
        clock.now += later
        assert await cache.get(["a"], backend) == number


async def test_time_begins_with_the_question(
    cache: Cache[int], clock: Clock, backend: Backend
) -> None:
    """What a slow backend says stands no longer: it may have decided when it was asked."""
    backend.open.clear()
    slow = await begun(cache, backend, ["a"])
    clock.now += 9
    backend.open.set()
    assert await slow == 1
    assert await cache.get(["a"], backend) == 1
    clock.now += 1
    assert await cache.get(["a"], backend) == 2


async def test_a_question_that_is_too_old_is_not_joined(
    cache: Cache[int], clock: Clock, backend: Backend
) -> None:
    """Who comes when the time of a pending question is over asks anew, and that answer stands."""
    backend.open.clear()
    slow = await begun(cache, backend, ["a"])
    clock.now += TTL_S
    later = Backend()
    later.asked = 10
    assert await asyncio.wait_for(cache.get(["a"], later), 10) == 11
    backend.open.set()
    assert await slow == 1
    clock.now += 9
    assert await cache.get(["a"], later) == 11


async def test_an_old_one_behind_a_younger_one(
    cache: Cache[int], clock: Clock, backend: Backend
) -> None:
    """The order of answers is not that of questions: each has its own time all the same."""
    backend.open.clear()
    slow = await begun(cache, backend, ["slow"])
    clock.now += 5
    assert await cache.get(["quick"], Backend()) == 1
    backend.open.set()
    assert await slow == 1
    clock.now += 5
    assert await cache.get(["slow"], backend) == 2


async def test_one_question_for_all_who_wait(cache: Cache[int], backend: Backend) -> None:
    backend.open.clear()
    callers = [asyncio.create_task(cache.get(["a"], backend)) for _ in range(50)]
    await backend.asking.wait()
    backend.open.set()
    assert await asyncio.gather(*callers) == [1] * 50
    assert backend.asked == 1


async def test_failures_are_not_remembered(cache: Cache[int], backend: Backend) -> None:
    """All who wait are told of a failure; the next caller asks again."""
    backend.failure = OSError("no")
    for _ in range(2):
        told = await asyncio.gather(
            *(cache.get(["a"], backend) for _ in range(3)), return_exceptions=True
        )
        assert told == [backend.failure] * 3
    assert backend.asked == 2
    backend.failure = None
    assert await cache.get(["a"], backend) == 3


async def test_who_gives_up_takes_nothing_from_others(cache: Cache[int], backend: Backend) -> None:
    """Not even the one who asked first, and for all."""
    backend.open.clear()
    first = await begun(cache, backend, ["a"])
    second = asyncio.create_task(cache.get(["a"], backend))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    backend.open.set()
    assert await second == 1
    assert (first.cancelled(), backend.asked, backend.cancelled) == (True, 1, 0)


async def test_nobody_waits_any_more(cache: Cache[int], backend: Backend) -> None:
    """A question that nobody waits for ends, and the next caller's is another one."""
    backend.open.clear()
    callers = [await begun(cache, backend, ["a"]) for _ in range(2)]
    for caller in callers:
        caller.cancel()
    next_one = asyncio.create_task(cache.get(["a"], backend))
    await asyncio.wait(callers)
    backend.open.set()
    assert await next_one == 2
    assert (backend.asked, backend.cancelled) == (2, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


PARTS = st.lists(st.none() | st.text() | st.binary(), max_size=4)


@given(PARTS, PARTS)
def test_no_two_questions_are_one(one: list[str | bytes | None], other: list[str | bytes | None]):
    """Decisions are one's own, however the parts of a question are cut or named."""
    cache: Cache[int] = Cache(TTL_S)
    assert (cache._key(one) == cache._key(other)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["asb"], ["a", "b"]),
        (["an"], ["a", None]),
        (["a", ""], ["a"]),
        (["a", None], ["a", ""]),
        ([None, "a"], ["a", None]),
        (["a"], [b"a"]),
        (["\udc80"], [b"\x80"]),
        (["a", "b"], ["b", "a"]),
    ],
)
async def test_questions_that_look_alike(
    cache: Cache[int],
    backend: Backend,
    one: list[str | bytes | None],
    other: list[str | bytes | None],
) -> None:
    assert [await cache.get(parts, backend) for parts in (one, other, one)] == [1, 2, 1]


async def test_keys_differ_by_process(secret_value: str) -> None:
    """A key is of no use without the process's own secret, and nothing else holds credentials."""
    caches: list[Cache[int]] = [Cache(TTL_S) for _ in range(2)]
    for cache in caches:
        await cache.get([secret_value], Backend())
        assert secret_value not in repr(vars(cache))
    assert caches[0]._known.keys().isdisjoint(caches[1]._known)


async def test_what_is_too_old_goes(cache: Cache[int], clock: Clock, backend: Backend) -> None:
    for name in "abc":
        await cache.get([name], backend)
    clock.now += TTL_S
    await cache.get(["d"], backend)
    assert len(cache._known) == 1


async def test_the_oldest_goes(cache: Cache[int], backend: Backend) -> None:
    for number in range(101):
        await cache.get([str(number)], Backend())
    assert await cache.get(["1"], backend) == 1
    assert backend.asked == 0
    assert await cache.get(["0"], backend) == 1
    assert backend.asked == 1


async def test_memory(cache: Cache[int]) -> None:
    """100,000 callers leave no more behind than there is room for."""
    backend = Backend()
    for number in range(100_000):
        await cache.get([f"Basic {number}"], backend)
    assert (len(cache._known), len(cache._asked)) == (100, 0)
