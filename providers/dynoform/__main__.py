"""Starts the plugin: ``python -m providers.dynoform <engine address>``; prints the port it listens on."""

import os
import signal
import sys
import threading
from concurrent import futures
from types import FrameType

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from providers.engine_log import EngineLog

from .api_certificate import ApiCertificate
from .app import App
from .certificates import Certificate, CertificateAuthority
from .ec2.host import Ec2Host
from .ec2.instance_profile import Ec2InstanceProfile
from .ec2.key_pair import Ec2KeyPair
from .ec2.load_balancer import Ec2LoadBalancer
from .ec2.network import Ec2Network
from .password import Password
from .playbook import Playbook
from .servicer import Servicer

MESSAGE_BYTES = 64 * 1024 * 1024
PARALLEL = 32
"""Operations at once; more wait. They sleep most of the time."""
GRACE = 10.0
"""Seconds that running operations get to clean up behind them when the engine ends the plugin."""


def main(arguments: list[str]) -> None:
    """Serves until the engine ends it (SIGINT or SIGTERM)."""
    engine = next((argument for argument in arguments if not argument.startswith("-")), "")
    if not engine:
        sys.exit("pulumi-resource-dynoform: is started by Pulumi, with the engine's address — run 'pulumi up'")
    servicer = Servicer(
        {
            "ApiCertificate": ApiCertificate(),
            "App": App(),
            "Certificate": Certificate(),
            "CertificateAuthority": CertificateAuthority(),
            "Ec2Host": Ec2Host(),
            "Ec2InstanceProfile": Ec2InstanceProfile(),
            "Ec2KeyPair": Ec2KeyPair(),
            "Ec2LoadBalancer": Ec2LoadBalancer(),
            "Ec2Network": Ec2Network(),
            "Password": Password(),
            "Playbook": Playbook(),
        },
        EngineLog(engine),
    )
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(PARALLEL), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    server.start()
    print(port, flush=True)
    ended.wait()
    servicer.Cancel(None, None)
    server.stop(GRACE).wait()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
