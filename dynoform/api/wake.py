"""Wakes who waits for a NOTIFY: one LISTEN connection for all of them, made when the first one comes."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from dynoform.store.session import ADDON_DONE, BUILD_OUTPUT, DRAINS, WEBHOOKS, Store


class Wakers:
    """Events by payload: the id of a build, a release or an add-on, ``webhooks`` for new deliveries,
    ``drains`` for a change of log drains.

    A background thread sets them; now and then for no reason, so look before you believe.
    """

    def __init__(self, store: Store) -> None:
        """Nothing is connected before the first ``subscribe``."""
        self._store = store
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def subscribe(self, key: object) -> Iterator[asyncio.Event]:
        """An event that is set when ``key`` was notified; call it in the event loop."""
        self._start(asyncio.get_running_loop())
        event = asyncio.Event()
        self._events[str(key)].add(event)
        try:
            yield event
        finally:
            self._events[str(key)].discard(event)
            if not self._events[str(key)]:
                del self._events[str(key)]

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is None:
            self._loop = loop
            self._thread = threading.Thread(target=self._listen, name="wakers", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        for notification in self._store.notifications([BUILD_OUTPUT, ADDON_DONE, WEBHOOKS, DRAINS], idle=30):
            if self._loop is None:
                return
            try:
                self._loop.call_soon_threadsafe(self._wake, notification.payload if notification else None)
            except RuntimeError:  # it is closed, perhaps since a moment ago
                return

    def _wake(self, key: str | None) -> None:
        wanted = [key] if key is not None else list(self._events)
        for name in wanted:
            for event in self._events.get(name, ()):
                event.set()
