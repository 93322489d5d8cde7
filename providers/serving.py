"""How a plugin of Pulumi's serves: prints its port, and ends when Pulumi ends it or is gone."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent import futures
from types import FrameType
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

MESSAGE_BYTES: Final = 64 * 1024 * 1024
PARALLEL: Final = 32
"""Operations at once; more wait. They sleep most of the time."""
GRACE_SECONDS: Final = 10.0
"""What running operations get to clean up behind them when the Pulumi engine ends the plugin."""
LOOK_SECONDS: Final = 2.0
"""How often it is looked whether Pulumi still lives."""


def serve(
    servicer: Any, add: Callable[[Any, grpc.Server], None] = provider_pb2_grpc.add_ResourceProviderServicer_to_server
) -> None:
    """Serves ``servicer`` until the Pulumi engine ends this process (SIGINT or SIGTERM) or is gone. Never returns.

    ``add`` is what its protocol brings; a provider's unless it is said otherwise.
    """
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(PARALLEL), options=options)
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    ended, parent = threading.Event(), os.getppid()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    server.start()
    print(port, flush=True)
    # A Pulumi that was killed ends nobody, so the plugin has to notice.
    while not ended.wait(LOOK_SECONDS):
        if os.getppid() != parent:
            break
    servicer.Cancel(empty_pb2.Empty(), None)  # none of a call
    server.stop(GRACE_SECONDS).wait()
    os._exit(0)
