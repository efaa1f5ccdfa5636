"""What heads meant, remembered."""

from signals_proxy.relay.memory import Memory


def test_bounded_and_without_heads() -> None:
    """No more than the limit is kept, the oldest goes first, and no head is among it."""
    asked = []

    def parse(head: bytes) -> tuple[str, bool]:
        asked.append(head)
        return "meaning", not head.startswith(b"large")

    memory = Memory(parse, limit=2)
    for head in (b"a", b"b", b"a", b"c", b"b", b"a", b"large", b"large"):
        assert memory(head) == "meaning"
    assert asked == [b"a", b"b", b"c", b"a", b"large", b"large"]
    assert len(memory) == 2
    assert not {b"a", b"b", b"c"} & set(memory._known)
