import asyncio
import re

from dynoform.logplex.buffers import Buffers, Numbered
from dynoform.logplex.tail import Tail


def texts(numbered: list[Numbered]) -> list[bytes]:
    return [line for _, line in numbered]


def test_each_app_keeps_its_last_lines_in_order() -> None:
    buffers = Buffers(history=3)
    for number in range(5):
        buffers.append("a", b"line %d" % number)
    buffers.append("b", b"other")
    assert texts(buffers.last("a", 10)) == [b"line 2", b"line 3", b"line 4"]
    assert texts(buffers.last("a", 2)) == [b"line 3", b"line 4"]
    assert texts(buffers.last("b", 10)) == [b"other"]
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
    found: list[Numbered] = []
    follower = found.append
    buffers.follow("a", follower)
    buffers.append("a", b"1")
    buffers.append("b", b"2")
    buffers.leave("a", follower)
    buffers.append("a", b"3")
    buffers.leave("a", follower)
    assert texts(found) == [b"1"]


def test_a_slow_reader_loses_lines_and_is_told_how_many() -> None:
    async def scenario() -> list[bytes]:
        tail = Tail(limit=2)
        for number in range(5):
            tail.put(Numbered(number, b"line %d" % number))
        first = await tail.take()
        tail.put(Numbered(5, b"line 5"))
        return texts(first + await tail.take())

    one, two, lost, after = asyncio.run(scenario())
    assert (one, two, after) == (b"line 0", b"line 1", b"line 5")
    assert b" heroku[logplex]: Error L11 (Tail buffer overflow) -> This buffer dropped 3 messages since " in lost


def test_what_was_lost_elsewhere_is_told_however_slow_a_reader_is() -> None:
    told = b"2026-11-26T06:00:01.000000+00:00 heroku[logplex]: Error L12 (Local buffer overflow): 35000 messages"
    lie = b"2026-11-26T06:00:01.000000+00:00 app[web.1]: heroku[logplex]: Error L12"

    async def scenario() -> list[bytes]:
        tail = Tail(limit=2)
        for number, line in enumerate([b"a", b"b", b"c", told, lie]):
            tail.put(Numbered(number, line))
        return texts(await tail.take())

    one, two, kept, lost = asyncio.run(scenario())
    assert (one, two, kept) == (b"a", b"b", told)
    assert b"This buffer dropped 2 messages since " in lost


def test_reading_goes_on_after_a_number_whatever_the_lines_say() -> None:
    buffers = Buffers(history=4)
    for number in range(6):
        buffers.append("a", b"same" if number % 2 else b"other")
    newest = buffers.last("a", 1)[0].number
    assert newest == 6
    assert [number for number, _ in buffers.last("a", 10)] == [3, 4, 5, 6]
    assert buffers.after("a", 4) == [Numbered(5, b"other"), Numbered(6, b"same")]
    assert buffers.after("a", 2, re.compile(b"same")) == [Numbered(4, b"same"), Numbered(6, b"same")]
    assert buffers.after("a", 6) == buffers.after("b", 0) == []
    assert [buffers.missing("a", number) for number in (0, 1, 2, 6)] == [2, 1, 0, 0]


def test_no_number_is_given_twice() -> None:
    buffers = Buffers(maximum_bytes=500)
    for _ in range(9):
        buffers.append("a", b"x" * 100)
    read = buffers.last("a", 1)[0].number
    for _ in range(9):
        buffers.append("b", b"y" * 100)
    assert buffers.last("a", 1) == [], "all of its lines have gone"
    buffers.append("a", b"new")
    assert read is not None
    assert texts(buffers.after("a", read)) == [b"new"]
    assert Buffers().run != buffers.run
