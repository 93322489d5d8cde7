"""A running create, read, update or delete: its messages, its deadline, its end when Pulumi is interrupted."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from .errors import OperationError

LOG_TIMEOUT: Final = 5.0
"""Seconds that a message may take; the work must not stand still for one."""

DEFAULT_TIMEOUT: Final = 20 * 60.0
"""Seconds for an operation where the program sets no ``customTimeouts``; as the official plugin."""

LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks at something that takes long."""


class Log(Protocol):
    """Where messages go: the Pulumi engine, or a list in a test."""

    def __call__(self, urn: str, message: str, *, ephemeral: bool = False, warning: bool = False) -> None:
        """Shows ``message`` at resource ``urn``; an ephemeral one is replaced by the next."""


class EngineLog:
    """Messages to the Pulumi engine; one that cannot be delivered is dropped."""

    def __init__(self, address: str) -> None:
        """``address`` is ``host:port``, the plugin's first argument."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def __call__(self, urn: str, message: str, *, ephemeral: bool = False, warning: bool = False) -> None:
        """See ``Log``."""
        severity = engine_pb2.WARNING if warning else engine_pb2.INFO
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=LOG_TIMEOUT)
        except grpc.RpcError:
            return


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
