"""Serves the language host on a port of the loopback address, for as long as the engine that started it lives."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from pulumi.runtime.proto import language_pb2_grpc

from providers.python_language.host import LanguageHost

# As the SDK's own servers: large programs register large resources.
MAX_MESSAGE_BYTES = 400 * 1024 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]


def serve(host: LanguageHost) -> tuple[grpc.Server, int]:
    """Starts serving `host`; returns the server and its port."""
    server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGINT, SIGTERM or the death of the parent; the last argument is the engine's address."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    host = LanguageHost(arguments[-1] if arguments else "")
    server, port = serve(host)
    print(port, flush=True)
    # A killed engine sends no signal, but it leaves its children to another parent.
    while not stop.wait(0.5) and os.getppid() == parent:
        pass
    host.stop()
    server.stop(grace=1).wait()
    sys.stdout.flush()
    return 0
