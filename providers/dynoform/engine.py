"""What a running operation may ask of the engine: show messages, and say whether it was cancelled."""

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from .errors import ProviderError

LOG_TIMEOUT = 5.0
"""Seconds that a log line may take; the work must not stand still for a message."""


class Log(Protocol):
    """Where messages go: the engine, or a list in a test."""

    def __call__(self, urn: str, message: str, *, ephemeral: bool) -> None:
        """Show ``message`` at resource ``urn``; an ephemeral one is replaced by the next."""


class EngineLog:
    """Messages to the Pulumi engine at ``address``; a message that cannot be delivered is dropped."""

    def __init__(self, address: str) -> None:
        """``address`` is ``host:port``, the plugin's first argument."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def __call__(self, urn: str, message: str, *, ephemeral: bool) -> None:
        """See ``Log``."""
        request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=LOG_TIMEOUT)
        except grpc.RpcError:
            return


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
