import asyncio

from dynoform.logplex.buffers import Buffers
from dynoform.logplex.tail import Tail


def test_each_app_keeps_its_last_lines_in_order() -> None:
    buffers = Buffers(history=3)
    for number in range(5):
        buffers.append("a", b"line %d" % number)
    buffers.append("b", b"other")
    assert buffers.last("a", 10) == [b"line 2", b"line 3", b"line 4"]
    assert buffers.last("a", 2) == [b"line 3", b"line 4"]
    assert buffers.last("b", 10) == [b"other"]
    assert buffers.last("c", 10) == []


def test_memory_is_bounded_and_the_silent_app_pays() -> None:
    buffers = Buffers(history=100, maximum_bytes=10_000)
    buffers.append("silent", b"x" * 1000)
    for _ in range(50):
        buffers.append("busy", b"y" * 1000)
    assert buffers.bytes <= 10_000
    assert buffers.last("silent", 10) == []
    assert len(buffers) == 1
    assert len(buffers.last("busy", 100)) == 9


def test_one_line_larger_than_all_memory_is_not_kept_for_ever() -> None:
    buffers = Buffers(maximum_bytes=100)
    buffers.append("a", b"x" * 1000)
    assert (buffers.bytes, len(buffers)) == (0, 0)


def test_followers_get_new_lines_until_they_leave() -> None:
    buffers = Buffers()
    found: list[bytes] = []
    follower = found.append
    buffers.follow("a", follower)
    buffers.append("a", b"1")
    buffers.append("b", b"2")
    buffers.leave("a", follower)
    buffers.append("a", b"3")
    buffers.leave("a", follower)
    assert found == [b"1"]


def test_a_slow_reader_loses_lines_and_is_told_how_many() -> None:
    async def scenario() -> list[bytes]:
        tail = Tail(limit=2)
        for number in range(5):
            tail.put(b"line %d" % number)
        first = await tail.take()
        tail.put(b"line 5")
        return first + await tail.take()

    one, two, lost, after = asyncio.run(scenario())
    assert (one, two, after) == (b"line 0", b"line 1", b"line 5")
    assert b" heroku[logplex]: Error L11 (Tail buffer overflow) -> This buffer dropped 3 messages since " in lost
