"""Which node of a cluster is sent the next request, and which is asked whether it is alive.

    =======  ======================================  =============================================
    a node   means                                   what comes next
    =======  ======================================  =============================================
    living   requests go to the one that has the     one failure to connect, or a probe without
             fewest of them                          an answer: dead. Probed when it lost a
                                                     connection in use, or works and says nothing
    dead     no request goes there while another     probes, 1 s after its death and then ever more
             lives                                   rarely, up to 30 s; two answered in a row:
                                                     living
    =======  ======================================  =============================================

One failure is enough, for it costs little to be wrong: the others work, and whoever only restarted
is back in two seconds. One answer is not, for a node that comes and goes would be given requests.

Rules of the file

- Pure: no socket, no event loop; ``now`` is an argument, in seconds of any clock that only rises.
- There is always a node to try: the only one is never dead, and if all are, of those that have the
  fewest requests the one whose turn to be probed comes first is tried, and lives again as soon as it
  can be connected to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

__all__ = ["LONGEST_PAUSE_S", "QUIET_S", "Node", "Nodes"]

QUIET_S: Final = 2.0
"""How long a node may have work and finish none of it before it is probed."""

LONGEST_PAUSE_S: Final = 30.0
"""The longest time between two probes of a dead node."""

_FIRST_PAUSE_S: Final = 1.0
_ANSWERS_TO_LIVE: Final = 2

_load = attrgetter("in_flight")
_load_and_turn = attrgetter("in_flight", "probe_at")


@dataclass(slots=True, eq=False)
class Node:
    """What is known of one node.

    ``in_flight`` counts the requests that it has, or is being connected to for; ``heard_at`` is when
    it finished one; ``is_suspect`` tells that a connection in use broke. These are kept by whoever
    sends the requests, all others by ``Nodes``.
    """

    index: int
    in_flight: int = 0
    heard_at: float = 0.0
    is_suspect: bool = False
    is_dead: bool = False
    is_probed: bool = False  # at this moment
    probe_at: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    answers: int = 0  # to its last probes, since it is dead

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be probed."""
        if self.in_flight == 0:
            self.heard_at = now  # it owes nothing: its silence begins with its next request
        if self.is_probed:
            return False
        if self.is_dead:
            return now >= self.probe_at
        return self.is_suspect or now - self.heard_at > QUIET_S


class Nodes:
    """The nodes of a cluster: ``all`` of them, at least one, in the order of the configuration."""

    def __init__(self, count: int, now: float) -> None:
        self.all = [Node(index, heard_at=now) for index in range(count)]
        self._living = list(self.all)
        self._rotation = 0

    def choose(self, tried: Sequence[Node] = (), *, turn: bool = True) -> Node | None:
        """Return the node to send a request to, of those not yet ``tried``; None if all were.

        Without ``turn`` it is the one of the last call, as long as nothing has changed.
        """
        living = self._living
        if tried:
            living = [node for node in living if node not in tried]
        if len(living) > 1:
            first = self._rotation = (self._rotation + turn) % len(living)
            return min(living[first:] + living[:first], key=_load)
        if living:
            return living[0]
        return min(
            (it for it in self.all if it.is_dead and it not in tried),
            key=_load_and_turn,
            default=None,
        )

    def is_open(self, node: Node) -> bool:
        """Tell whether requests go to it: it lives, or nobody does."""
        return not (node.is_dead and self._living)

    def unreachable(self, node: Node, now: float) -> None:
        """Take notice that no connection to it could be made."""
        # The dead are known to be: what requests try in vain does not make their probes rarer.
        if not node.is_dead and len(self.all) > 1:
            self._living.remove(node)
            node.is_dead, node.answers = True, 0
            node.pause_s = _FIRST_PAUSE_S
            node.probe_at = now + _FIRST_PAUSE_S

    def reached(self, node: Node) -> None:
        """Take notice that a connection to it was made, for a request."""
        if not self._living:
            self._revive(node)

    def to_probe(self, now: float) -> list[Node]:
        """Return the nodes to probe now; each is to be followed by a call of ``probed``."""
        due = [node for node in self.all if node.is_due(now)] if len(self.all) > 1 else []
        for node in due:
            node.is_probed, node.is_suspect = True, False
        return due

    def probed(self, node: Node, now: float, *, answered: bool | None) -> None:
        """Take notice of how a probe ended; None: it could not be made, for what is lacking here."""
        node.is_probed = False
        if answered is None:
            node.is_suspect, node.probe_at = not node.is_dead, now + _FIRST_PAUSE_S
        elif not answered and not node.is_dead:
            self.unreachable(node, now)
        elif not answered:
            node.answers = 0
            node.pause_s = min(2 * node.pause_s, LONGEST_PAUSE_S)
            node.probe_at = now + node.pause_s
        elif not node.is_dead:
            node.heard_at = now
        else:
            node.answers += 1
            node.probe_at = now + _FIRST_PAUSE_S
            if node.answers >= _ANSWERS_TO_LIVE:
                self._revive(node)

    def _revive(self, node: Node) -> None:
        node.is_dead = node.is_suspect = False
        self._living.append(node)
        self._living.sort(key=attrgetter("index"))
