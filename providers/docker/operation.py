"""A running create, read, update or delete: its messages, its deadline, its end when Pulumi is interrupted."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from providers.engine_log import Log

from .errors import OperationError

DEFAULT_TIMEOUT: Final = 20 * 60.0
"""Seconds for an operation where the program sets no ``customTimeouts``; as the official plugin."""

LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks at something that takes long."""


@dataclass
class Operation:
    """One operation on one resource."""

    urn: str
    log: Log
    cancelled: threading.Event = field(default_factory=threading.Event)
    timeout: float = DEFAULT_TIMEOUT
    """Seconds."""
    started: float = field(default_factory=time.monotonic)

    def status(self, message: str) -> None:
        """Shows what is being done now."""
        self.log(self.urn, message, ephemeral=True)

    def warn(self, message: str) -> None:
        """Shows a warning that stays."""
        self.log(self.urn, message, warning=True)

    def remaining(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.started + self.timeout - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Waits. Raises ``OperationError`` when Pulumi is interrupted."""
        if self.cancelled.wait(seconds):
            raise OperationError("was interrupted; run 'pulumi up' again to finish it")

    def attempts(self, seconds: float) -> Iterator[int]:
        """Numbers attempts, with growing pauses between, for at most ``seconds``; always at least one."""
        end = time.monotonic() + min(seconds, self.remaining())
        number, length = 0, 0.1
        while True:
            yield number
            number += 1
            left = end - time.monotonic()
            if left <= 0:
                return
            self.pause(min(left, length * random.uniform(0.7, 1.3)))  # noqa: S311 - spreads attempts, hides nothing
            length = min(length * 1.5, LONGEST_PAUSE)
