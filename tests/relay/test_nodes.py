"""Which node is next, and which is probed: tables of what happens, and what holds whatever does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.relay.nodes import LONGEST_PAUSE_S, QUIET_S, Node, Nodes


def chosen(nodes: Nodes, *tried: Node) -> int:
    """Return the index of the node that is next."""
    node = nodes.choose(tried)
    assert node is not None
    return node.index


@pytest.mark.parametrize(
    ("in_flight", "dead", "tried", "expected"),
    [
        ((5,), "", (), {0}),
        ((5, 2, 3), "", (), {1}),
        ((0, 0, 0), "", (), {0, 1, 2}),
        ((1, 0, 0), "", (), {1, 2}),
        ((1, 0, 0), "1", (), {2}),
        ((9, 0, 0), "12", (), {0}),
        ((0, 0, 0), "", (1,), {0, 2}),
        ((7, 0, 0), "2", (1,), {0}),
        ((0, 0, 0), "012", (), {0}),  # all are dead: the first that is to be probed
        ((0, 0, 0), "120", (), {1}),
        ((0, 0, 0), "120", (1,), {2}),
        ((2, 1, 1), "012", (), {1}),  # a dead one that is full does not make others wait
        ((0, 0, 0), "0", (1, 2), {0}),  # nobody else is left: the dead are tried as well
    ],
)
def test_choice(
    in_flight: tuple[int, ...], dead: str, tried: tuple[int, ...], expected: set[int]
) -> None:
    """Chosen is the living node with the fewest requests, ties in turn; ``dead`` died in this order."""
    nodes = Nodes(len(in_flight), 0.0)
    for node, count in zip(nodes.all, in_flight, strict=True):
        node.in_flight = count
    for now, index in enumerate(dead):
        nodes.unreachable(nodes.all[int(index)], now)
    assert {chosen(nodes, *(nodes.all[it] for it in tried)) for _ in range(6)} == expected


def test_nothing_is_left_to_try() -> None:
    """Whoever has tried all nodes is told so, dead or living."""
    nodes = Nodes(2, 0.0)
    nodes.unreachable(nodes.all[0], 0)
    assert nodes.choose(nodes.all) is None


def test_the_only_node_is_never_dead() -> None:
    """The only node is always tried, and never probed: there is nothing to decide."""
    nodes = Nodes(1, 0.0)
    (node,) = nodes.all
    nodes.unreachable(node, 1)
    node.is_suspect = True
    assert (node.is_dead, nodes.choose(), nodes.to_probe(100)) == (False, node, [])


PROBES = [
    # What a probe finds, and after how many seconds the next is due; None: the node lives again.
    ([False] * 7, [2, 4, 8, 16, 30, 30, 30]),
    ([True, True], [1, None]),
    ([True, False, True, True], [1, 2, 1, None]),
    ([False, False, True, False, True, True], [2, 4, 1, 8, 1, None]),
]


@pytest.mark.parametrize(("answers", "pauses"), PROBES)
def test_probes_of_a_dead_node(answers: list[bool], pauses: list[int | None]) -> None:
    """A dead node is asked ever more rarely, and is back after two answers in a row."""
    nodes = Nodes(2, 0.0)
    node, now = nodes.all[0], 10.0
    nodes.unreachable(node, now)
    pause: int | None = 1
    for answered, following in zip(answers, pauses, strict=True):
        assert pause is not None
        assert nodes.to_probe(now + pause - 0.01) == []
        now += pause
        assert nodes.to_probe(now) == [node]
        assert nodes.to_probe(now + 100) == []  # one at a time
        nodes.probed(node, now, answered=answered)
        pause = following
        assert node.is_dead is (pause is not None)


def test_a_probe_that_could_not_be_made() -> None:
    """It says nothing of the node, living or dead, and is made up for a second later."""
    nodes = Nodes(2, 0.0)
    living, dead = nodes.all
    living.is_suspect = True
    nodes.unreachable(dead, 0)
    for now in (1, 2):
        assert nodes.to_probe(now) == [living, dead]
        for node in nodes.all:
            nodes.probed(node, now, answered=None)
        assert (living.is_dead, dead.is_dead, dead.answers) == (False, True, 0)
    nodes.to_probe(3)
    nodes.probed(living, 3, answered=True)
    assert nodes.to_probe(4) == []


def test_who_dies_again_is_probed_as_often_as_at_first() -> None:
    """The long pauses of an earlier death are forgotten, and so are its answers."""
    nodes = Nodes(2, 0.0)
    node = nodes.all[0]
    for start in (0.0, 100.0):
        nodes.unreachable(node, start)
        nodes.unreachable(node, start + 0.9)  # what requests try meanwhile changes nothing
        for now, answered in ((1, False), (3, False), (7, True), (8, True)):
            assert nodes.to_probe(start + now) == [node]
            nodes.probed(node, start + now, answered=answered)
        assert node.is_dead is False


@pytest.mark.parametrize(
    ("in_flight", "suspect", "silent_s", "expected"),
    [
        (0, False, 1000, False),  # it owes nothing
        (1, False, QUIET_S, False),
        (1, False, QUIET_S + 0.1, True),
        (0, True, 0, True),
    ],
)
def test_a_living_node_in_doubt_is_probed(
    in_flight: int, suspect: bool, silent_s: float, expected: bool
) -> None:
    """A node that works in silence, or broke a connection, is asked: without an answer it is dead."""
    for answered in (True, False):
        nodes = Nodes(2, 50.0)
        node = nodes.all[1]
        node.in_flight, node.is_suspect = in_flight, suspect
        now = 50.0 + silent_s
        assert nodes.to_probe(now) == ([node] if expected else [])
        if expected:
            nodes.probed(node, now, answered=answered)
            assert node.is_dead is not answered
            assert nodes.to_probe(now + 0.5) == []


def test_silence_begins_with_a_request() -> None:
    """A node that had nothing to do is given its time from when it has."""
    nodes = Nodes(2, 0.0)
    assert nodes.to_probe(100) == []
    nodes.all[0].in_flight = 1
    assert nodes.to_probe(100 + QUIET_S) == []
    assert nodes.to_probe(101 + QUIET_S) == [nodes.all[0]]


def test_if_all_are_dead_a_connection_is_enough() -> None:
    """Who can be connected to lives at once if nobody else does, and by probes if somebody does."""
    nodes = Nodes(2, 0.0)
    for node in nodes.all:
        nodes.unreachable(node, 0)
    for node in nodes.all:
        nodes.reached(node)
    assert [node.is_dead for node in nodes.all] == [False, True]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["send", "send", "end", "unreachable", "lost", "reached", "tick", "probed"]
        ),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=60,
)


@given(count=st.integers(1, 4), events=EVENTS)
def test_whatever_happens(count: int, events: list[tuple[str, int, bool]]) -> None:
    """A living node with the fewest requests is chosen if one lives, some node always, and each
    dead node's next probe is at most the longest pause away.
    """
    nodes, now = Nodes(count, 0.0), 0.0
    probed: list[Node] = []
    for event, number, answered in events:
        node = nodes.all[number % count]
        match event:
            case "send":
                choice = nodes.choose()
                assert choice is not None
                choice.in_flight += 1
            case "end":
                node.in_flight = max(0, node.in_flight - 1)
            case "unreachable":
                nodes.unreachable(node, now)
            case "lost":
                node.is_suspect = True
            case "reached":
                nodes.reached(node)
            case "tick":
                now += 1
                due = nodes.to_probe(now)
                assert not set(due) & set(probed)
                probed += due
            case _:
                for each in probed:
                    nodes.probed(each, now, answered=answered)
                probed = []
        living = [it for it in nodes.all if not it.is_dead]
        choice = nodes.choose()
        assert choice is not None
        if living:
            assert choice in living
            assert choice.in_flight == min(it.in_flight for it in living)
        for each in nodes.all:
            assert not each.is_dead or each in probed or each.probe_at - now <= LONGEST_PAUSE_S


@given(count=st.integers(2, 5), rounds=st.integers(1, 4))
def test_nobody_starves(count: int, rounds: int) -> None:
    """Requests that come one after another, none of them open at the same time, go to all alike."""
    nodes = Nodes(count, 0.0)
    got = [chosen(nodes) for _ in range(count * rounds)]
    assert [got.count(index) for index in range(count)] == [rounds] * count
