"""Starts the plugin: ``python -m providers.dynoform <engine address>``; prints the port it listens on."""

import sys

from providers.engine_log import EngineLog
from providers.serving import serve

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


def main(arguments: list[str]) -> None:
    """Serves until the engine ends it (SIGINT or SIGTERM)."""
    engine = next((argument for argument in arguments if not argument.startswith("-")), "")
    if not engine:
        sys.exit("pulumi-resource-dynoform: is started by Pulumi, with the engine's address — run 'pulumi up'")
    resources = {
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
    }
    serve(Servicer(resources, EngineLog(engine)))


if __name__ == "__main__":
    main(sys.argv[1:])
