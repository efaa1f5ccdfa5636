"""What heads meant, remembered."""

from signals_proxy.relay.memory import Memory


class Parser:
    """Counts what it is asked for; heads that begin with "large" are not to be kept."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, head: bytes) -> tuple[str, bool]:
        self.asked.append(head)
        return f"meaning of {head!r}", not head.startswith(b"large")


def test_what_is_remembered() -> None:
    """A head that was met lately is not parsed again, and means what it meant; a large one is."""
    parser = Parser()
    memory = Memory(parser, limit=4)
    for head in (b"a", b"b", b"a", b"large", b"large", b"b"):
        assert memory(head) == f"meaning of {head!r}"
    assert parser.asked == [b"a", b"b", b"large", b"large"]


def test_it_is_bounded() -> None:
    """However many heads there are, no more than the limit is kept, and none of the heads itself."""
    parser = Parser()
    memory = Memory(parser, limit=8)
    heads = [b"%d" % number for number in range(100)]
    for head in heads:
        memory(head)
        assert len(memory) <= 8
    assert not {*heads} & {*memory._lately, *memory._before}
    memory(heads[0])
    assert parser.asked == [*heads, heads[0]]


def test_heads_that_repeat_stay() -> None:
    """A flood of heads that do not repeat takes no room from one that does."""
    parser = Parser()
    memory = Memory(parser, limit=8)
    for number in range(100):
        memory(b"again")
        memory(b"%d" % number)
    assert parser.asked.count(b"again") == 1
