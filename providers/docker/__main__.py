"""Starts the plugin: ``python -m providers.docker <engine address>``; prints its port, as Pulumi expects."""

import sys
from typing import Final

from providers.engine_log import EngineLog
from providers.serving import serve

from .network import Network
from .remote_image import RemoteImage
from .secret import Secret
from .service import Service
from .service_config import ServiceConfig
from .servicer import Servicer
from .volume import Volume

RESOURCES: Final = (RemoteImage(), Volume(), Secret(), ServiceConfig(), Service(), Network())


def main(arguments: list[str]) -> None:
    """Serves until the Pulumi engine ends it (SIGINT or SIGTERM)."""
    address = next((argument for argument in arguments if not argument.startswith("-")), "")
    if not address:
        sys.exit("pulumi-resource-docker: is started by Pulumi, with the engine's address — run 'pulumi up'")
    serve(Servicer(RESOURCES, EngineLog(address)))


if __name__ == "__main__":
    main(sys.argv[1:])
