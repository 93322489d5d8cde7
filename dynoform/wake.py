"""Waking a loop: soon after something happened, and at the latest after a while."""

import threading
from collections.abc import Iterator, Sequence
from typing import Protocol


class Notifier(Protocol):
    """A store, with the object mapper or without it."""

    def notifications(self, channels: Sequence[str], idle: float) -> Iterator[object]:
        """Endless, also when one may have been missed."""


class Wake:
    """An alarm clock for one loop; any thread may ring it, rings before the loop looks are one."""

    def __init__(self) -> None:
        """Silent at first."""
        self._event = threading.Event()

    def ring(self) -> None:
        """Something happened."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Return when it rings, or after ``seconds``; True if it rang."""
        rang = self._event.wait(seconds)
        self._event.clear()
        return rang

    def on_notifications(self, store: Notifier, channels: Sequence[str]) -> None:
        """Ring, from a thread of its own, at every NOTIFY on these channels and whenever one may have been missed."""

        def listen() -> None:
            for _ in store.notifications(channels, idle=30):
                self.ring()

        threading.Thread(target=listen, name="notifications", daemon=True).start()
