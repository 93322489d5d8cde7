"""Waiting for a NOTIFY, by a store that the test speaks for."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

from dynoform.api.wake import Wakers


def test_a_loop_that_is_closed_in_the_moment_in_which_it_would_be_woken_ends_the_listening() -> None:
    about_to, closed = threading.Event(), threading.Event()

    class Late:
        @property
        def payload(self) -> str:
            about_to.set()
            assert closed.wait(60)
            return "something"

    class Speaker:
        def notifications(self, channels: Sequence[str], idle: float) -> Iterator[Late | None]:
            yield from (None, Late())
            raise AssertionError("it goes on listening")

    wakers = Wakers(cast("Any", Speaker()))

    async def wait() -> None:
        with wakers.subscribe("something") as event:
            await event.wait()
            await asyncio.to_thread(about_to.wait, 60)

    asyncio.run(wait())
    closed.set()
    thread = wakers._thread
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
