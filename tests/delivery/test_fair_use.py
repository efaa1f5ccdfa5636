"""How often accounts are used, and how much memory messages take."""

import asyncio

import pytest

from signals_proxy.delivery.fair_use import Buckets, Memory, Shares, take
from signals_proxy.delivery.settings import Rate
from signals_proxy.errors import TooOften


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def buckets(burst, per_minute):
    clock = Clock()
    return Buckets(Rate(burst, per_minute), clock), clock


def test_a_burst_and_then_at_a_rate():
    made, clock = buckets(3, 6)
    for _ in range(3):
        assert made.wait_for("a") == 0
        made.take("a")
    assert made.wait_for("a") == 10
    clock.now = 4
    assert made.wait_for("a") == pytest.approx(6)
    clock.now = 10
    assert made.wait_for("a") == 0
    made.take("a")
    assert made.wait_for("a") == pytest.approx(10)


def test_a_bucket_is_never_more_than_full():
    made, clock = buckets(2, 60)
    made.take("a")
    clock.now = 10_000
    made.take("a")
    made.take("a")
    assert made.wait_for("a") > 0


def test_each_name_has_its_own():
    made, _ = buckets(1, 1)
    made.take("a")
    assert made.wait_for("a") > 0
    assert made.wait_for("b") == 0


def test_of_too_many_those_that_were_used_least_recently_are_full_again():
    made, _ = buckets(1, 1)
    for number in range(10_000):
        made.take(str(number))
    made.take("new")
    assert made.wait_for("0") == 0
    assert made.wait_for("1") > 0
    assert made.wait_for("new") > 0


def test_a_token_of_both_or_of_neither():
    accounts, clock = buckets(2, 60)
    callers, _ = buckets(1, 1)
    take((accounts, "a"), (callers, "c"))
    with pytest.raises(TooOften, match="You deliver too often; try again in 60 s"):
        take((accounts, "a"), (callers, "c"))
    take((accounts, "a"), (callers, "d"))
    clock.now = 0.5
    with pytest.raises(TooOften, match="This account") as often:
        take((accounts, "a"), (callers, "e"))
    assert often.value.retry_after_s == 1
    assert callers.wait_for("e") == 0


# --- memory --------------------------------------------------------------------------------------


class Holder:
    """Holds memory until it is told to let go."""

    def __init__(self, memory, *size):
        self.has_it, self.let_go = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._hold(memory, *size))

    async def _hold(self, memory, *size):
        async with memory.of(*size):
            self.has_it.set()
            await self.let_go.wait()

    async def end(self):
        self.let_go.set()
        await self.task


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_too_little_waits_in_turn():
    memory = Memory(10)
    first, large, small = Holder(memory, 6), Holder(memory, 8), Holder(memory, 1)
    await settle()
    # The small one would fit, but then the large one might wait for ever.
    assert [it.has_it.is_set() for it in (first, large, small)] == [True, False, False]
    await first.end()
    await settle()
    assert [it.has_it.is_set() for it in (large, small)] == [True, True]
    await large.end()
    await small.end()
    await Holder(memory, 10).end()


async def test_what_is_larger_than_all_there_is_waits_for_all():
    memory = Memory(10)
    first, huge = Holder(memory, 1), Holder(memory, 1000)
    await settle()
    assert not huge.has_it.is_set()
    await first.end()
    await huge.end()
    await Holder(memory, 10).end()


async def test_who_gives_up_is_out_of_the_way():
    memory = Memory(10)
    first, second, third = Holder(memory, 10), Holder(memory, 10), Holder(memory, 5)
    await settle()
    second.task.cancel()
    await settle()
    assert not third.has_it.is_set()
    await first.end()
    await settle()
    assert third.has_it.is_set()
    await third.end()
    await Holder(memory, 10).end()


async def test_who_gives_up_before_a_smaller_one_lets_it_in():
    memory = Memory(10)
    first, second, third = Holder(memory, 5), Holder(memory, 10), Holder(memory, 5)
    await settle()
    second.task.cancel()
    await settle()
    assert third.has_it.is_set()
    await first.end()
    await third.end()


async def test_who_gives_up_at_its_turn_gives_it_back():
    """The turn has come, and is cancelled before anybody noticed."""
    memory, go = Memory(10), asyncio.Event()

    async def hold():
        async with memory.of(10):
            await go.wait()
        second.task.cancel()

    first = asyncio.create_task(hold())
    await settle()
    second = Holder(memory, 10)
    await settle()
    go.set()
    await asyncio.wait([first, second.task])
    assert not second.has_it.is_set()
    await Holder(memory, 10).end()


async def test_an_error_inside_gives_it_back():
    memory = Memory(10)
    with pytest.raises(KeyError):
        async with memory.of(10):
            raise KeyError
    await Holder(memory, 10).end()


async def test_two_who_give_up_at_once():
    """The first lets others in, and passes over the second, who has not noticed yet."""
    memory = Memory(10)
    first, *gone = (Holder(memory, size) for size in (5, 10, 5))
    await settle()
    for each in gone:
        each.task.cancel()
    ended = await asyncio.gather(*(each.task for each in gone), return_exceptions=True)
    assert [type(it) for it in ended] == [asyncio.CancelledError] * 2
    await first.end()
    await Holder(memory, 10).end()


async def test_one_caller_has_a_quarter_of_it():
    """Who sends slowly holds up himself alone."""
    shares = Shares(40)
    slow, own, other = (Holder(shares, *it) for it in (("slow", 10), ("slow", 1), ("other", 9)))
    await settle()
    assert [it.has_it.is_set() for it in (slow, own, other)] == [True, False, True]
    await slow.end()
    await settle()
    assert own.has_it.is_set()
    await own.end()
    await other.end()


async def test_who_announces_too_much_has_no_more_than_a_share():
    """And others need not wait for all there is to be free."""
    shares = Shares(40)
    some = [Holder(shares, *it) for it in (("a", 1), ("b", 10**11), ("c", 10), ("d", 10))]
    await settle()
    assert [it.has_it.is_set() for it in some] == [True] * 4
    for each in some:
        await each.end()


async def test_all_callers_together_have_all_of_it():
    shares = Shares(40)
    some = [Holder(shares, str(number), 10) for number in range(5)]
    await settle()
    assert [it.has_it.is_set() for it in some] == [True] * 4 + [False]
    for each in some:
        await each.end()
