"""Starting the servers that clients attach through, whatever stands in the way at first."""

import asyncio
import socket

import pytest

from dynoform.journal import Journal
from dynoform.router import attachments
from tests.postgres import free_port


def test_the_address_for_all_stands_alone() -> None:
    assert attachments._addresses((attachments._ANY, "172.29.0.1")) == ["0.0.0.0"]  # noqa: S104 - not bound
    assert attachments._addresses(("127.0.0.1", "172.29.0.1")) == ["127.0.0.1", "172.29.0.1"]


def test_a_port_that_is_taken_is_said_once_and_had_when_it_is_free(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "_RETRY_SECONDS", 0.05)
    address = "127.0.0.1", free_port()
    holder = socket.create_server(address)

    async def start() -> int:
        with socket.create_server(address) as made:
            return int(made.getsockname()[1])

    async def scenario() -> None:
        async with asyncio.timeout(60):
            trying = asyncio.ensure_future(attachments._keep_trying(start, Journal("router-agent")))
            await asyncio.sleep(0.3)
            holder.close()
            await trying

    asyncio.run(scenario())
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("warning router-agent cannot listen error=")
    assert second == f"info router-agent listening at={address[1]}"
