"""The runtime agent's side of a channel: what it makes of what the SSH server says."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dynoform.domain import exec_channels
from dynoform.domain.exec_channels import Channel, Kind, Size, frame, pack
from dynoform.run import exec_link
from dynoform.run.exec_link import ExecLink
from dynoform.run.link import AttachError

OPEN = frame(exec_channels.OPEN, pack(Channel(Kind.COMMAND, "ls")))


class Program:
    """Takes input as the engine's stream does."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.taken.append(data)

    def write_eof(self) -> None:
        self.taken.append(b"<end>")


def play(data: bytes, scenario: Callable[[ExecLink], Awaitable[None]]) -> None:
    """Run a scenario with a link at which these bytes have come, and nothing more will."""

    async def run() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        async with asyncio.timeout(60):
            await scenario(ExecLink(reader, None))  # type: ignore[arg-type]  # nothing is said

    asyncio.run(run())


@pytest.mark.parametrize("tty", [True, False])
def test_input_sizes_and_the_end_of_input_are_told_apart(tty: bool) -> None:
    sizes: list[Size] = []
    said = [(exec_channels.INPUT, b"one"), (exec_channels.RESIZE, pack(Size(45, 123))), (exec_channels.END, b"")]
    program = Program()

    async def scenario(link: ExecLink) -> None:
        async def resize(size: Size) -> None:
            sizes.append(size)

        link.resize = resize
        assert await link.channel() == Channel(Kind.COMMAND, "ls")
        await link.pass_input(program, tty=tty)  # type: ignore[arg-type]
        assert link.gone

    play(OPEN + b"".join(frame(*one) for one in said), scenario)
    assert program.taken == [b"one", b"\x04" if tty else b"<end>"]
    assert sizes == [Size(45, 123)]


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 10, frame(exec_channels.INPUT, b"x"), frame(exec_channels.OPEN, b"{}")]
)
def test_who_does_not_say_what_to_run_is_given_up(data: bytes) -> None:
    async def scenario(link: ExecLink) -> None:
        with pytest.raises(AttachError, match=r"client: (began with b'I'|did not say what to run)"):
            await link.channel()

    play(data, scenario)


def test_who_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_link, "OPEN_SECONDS", 0.1)

    async def run() -> None:
        with pytest.raises(AttachError, match="did not say what to run"):
            await ExecLink(asyncio.StreamReader(), None).channel()  # type: ignore[arg-type]

    asyncio.run(run())


def test_nonsense_ends_the_input() -> None:
    program = Program()

    async def scenario(link: ExecLink) -> None:
        async def resize(size: Size) -> None:
            pass

        link.resize = resize
        await link.channel()
        await link.pass_input(program, tty=False)  # type: ignore[arg-type]
        assert link.gone

    after = [(exec_channels.RESIZE, b"{}"), (exec_channels.INPUT, b"two")]
    play(OPEN + b"".join(frame(*one) for one in [(exec_channels.INPUT, b"one"), *after]), scenario)
    assert program.taken == [b"one"]
