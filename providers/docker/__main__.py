"""Starts the plugin: ``python -m providers.docker <engine address>``; prints its port, as Pulumi expects."""

import os
import signal
import sys
import threading
from concurrent import futures
from types import FrameType
from typing import Final

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from providers.engine_log import EngineLog

from .network import Network
from .remote_image import RemoteImage
from .secret import Secret
from .service import Service
from .service_config import ServiceConfig
from .servicer import Servicer
from .volume import Volume

MESSAGE_BYTES: Final = 64 * 1024 * 1024
PARALLEL: Final = 32
"""Operations at once; more wait. They sleep most of the time."""
GRACE_SECONDS: Final = 10.0
"""What running operations get to clean up behind them when the Pulumi engine ends the plugin."""
LOOK_SECONDS: Final = 2.0
"""How often it is looked whether Pulumi still lives."""

RESOURCES: Final = (RemoteImage(), Volume(), Secret(), ServiceConfig(), Service(), Network())


def main(arguments: list[str]) -> None:
    """Serves until the Pulumi engine ends it (SIGINT or SIGTERM)."""
    address = next((argument for argument in arguments if not argument.startswith("-")), "")
    if not address:
        sys.exit("pulumi-resource-docker: is started by Pulumi, with the engine's address — run 'pulumi up'")
    servicer = Servicer(RESOURCES, EngineLog(address))
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(PARALLEL), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
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
    servicer.Cancel(None, None)
    server.stop(GRACE_SECONDS).wait()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
