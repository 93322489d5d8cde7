"""What a running operation may ask of the engine: show messages, and say whether it was cancelled."""

import threading
import time
from dataclasses import dataclass, field

from providers.engine_log import Log

from .errors import ProviderError


@dataclass
class Operation:
    """One create, read, update or delete in progress."""

    urn: str
    log: Log
    cancelled: threading.Event = field(default_factory=threading.Event)
    timeout: float = 0.0
    """Seconds the user allows (``customTimeouts``); 0 leaves it to the resource."""

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return self.urn.rsplit("::", 1)[-1]

    def status(self, message: str) -> None:
        """Show what is being done now; replaced by the next one."""
        self.log(self.urn, message, ephemeral=True)

    def info(self, message: str) -> None:
        """Show a line that stays, such as a build's output."""
        self.log(self.urn, message, ephemeral=False)

    def deadline(self, seconds: float) -> float:
        """When (``time.monotonic``) this operation has to end if the user set no timeout of their own."""
        return time.monotonic() + (self.timeout or seconds)

    def pause(self, seconds: float) -> None:
        """Wait; a cancelled operation raises ``ProviderError`` at once."""
        if self.cancelled.wait(seconds):
            raise ProviderError(self.name, "was cancelled", "run it again to continue where it stopped")
