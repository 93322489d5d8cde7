"""Messages of our providers to the Pulumi engine that runs them."""

from typing import Final, Protocol

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

TIMEOUT: Final = 5.0
"""Seconds that a message may take; the work must not stand still for one."""


class Log(Protocol):
    """Where messages go: the Pulumi engine, or a list in a test."""

    def __call__(self, urn: str, message: str, *, ephemeral: bool = False, warning: bool = False) -> None:
        """Show ``message`` at resource ``urn``; an ephemeral one is replaced by the next."""


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
            self._stub.Log(request, timeout=TIMEOUT)
        except grpc.RpcError:
            return
