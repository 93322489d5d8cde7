"""Starts the plugin: ``python -m providers.dynoform <engine address>``; prints the port it listens on."""

import sys

from providers.engine_log import EngineLog
from providers.serving import serve

from .lazy import Lazy
from .servicer import Servicer

RESOURCES = {
    "ApiCertificate": "api_certificate",
    "App": "app",
    "Certificate": "certificates",
    "CertificateAuthority": "certificates",
    "Ec2Host": "ec2.host",
    "Ec2InstanceProfile": "ec2.instance_profile",
    "Ec2KeyPair": "ec2.key_pair",
    "Ec2LoadBalancer": "ec2.load_balancer",
    "Ec2Network": "ec2.network",
    "Password": "password",
    "Playbook": "playbook",
}
"""Class → its module."""


def main(arguments: list[str]) -> None:
    """Serves until the engine ends it (SIGINT or SIGTERM)."""
    engine = next((argument for argument in arguments if not argument.startswith("-")), "")
    if not engine:
        sys.exit("pulumi-resource-dynoform: is started by Pulumi, with the engine's address — run 'pulumi up'")
    serve(Servicer(Lazy(RESOURCES), EngineLog(engine)))


if __name__ == "__main__":
    main(sys.argv[1:])
