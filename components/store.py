"""The platform's own PostgreSQL: one server, or two of them on several hosts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.addons.postgres import USER, Postgres, PostgresArgs
from components.addons.postgres_ha import Part, PostgresHA, PostgresHAArgs
from components.addons.server_certificate import ServerCertificate
from components.credentials import CertificateAuthority

NOUN = "postgres"
OWNER = "dynoform"
CONNECTIONS, MEMORY_MIB = 300, 1536
"""Of a fleet's: each host has some six connections at most, each of them some 5 MiB. That is for fifty hosts."""
CACHE_MIB = 32
VOTES = 3


@dataclass(frozen=True)
class StoreArgs:
    """Parameters of ``store``.

    Parameters:
        stack: name of the stack.
        engine: the engine that takes the declarations.
        image: the one server's image with tag.
        ha_image: the image of servers that have a standby, by a name that all hosts can get it by; None without one.
        network_id: engine id of the platform's bridge.
        address, port: where the platform's host has the store.
        gateway: where each host has it, if it has a standby.
        authority: signs the certificate that it shows where there are several hosts.
        constraints: what the host has to be that has the platform's data; none for any, on a single host.
        standby: name and private address of the standby's host, and of one more that has a vote; none for one server.
        standby_ports: ports of a server, and of two members of etcd, two of each.
    """

    stack: str
    engine: pulumi.ProviderResource
    image: pulumi.Input[str]
    ha_image: pulumi.Input[str] | None
    network_id: pulumi.Input[str]
    address: str
    port: int
    gateway: str
    authority: CertificateAuthority
    constraints: Sequence[str]
    standby: Mapping[str, str]
    standby_ports: Sequence[int]


def store(args: StoreArgs) -> Postgres | PostgresHA:
    """The component that has it."""
    name, opts = f"{args.stack}-{NOUN}", pulumi.ResourceOptions(providers={"docker": args.engine})
    common: dict[str, Any] = {
        "stack": args.stack,
        "noun": NOUN,
        "network_id": args.network_id,
        "address": args.address,
        "port": args.port,
        "user": OWNER,
        "constraints": args.constraints,
    }
    # On a single host all that is said to it stays on that host's bridge.
    if args.constraints:
        common |= {"certificate": _certificate(name, args), "connections": CONNECTIONS, "memory_mib": MEMORY_MIB}
    if args.ha_image is None or not args.standby:
        return Postgres(name, PostgresArgs(**common, image=args.image), opts)
    places = [("", args.address), *args.standby.items()]
    server, *voters = (args.standby_ports[first : first + 2] for first in (0, 2, 4))
    # With two hosts the platform's has two of three votes.
    voting = [*places, ("", args.address)][:VOTES]
    several = PostgresHAArgs(
        **common,
        image=args.ha_image,
        servers=[Part(server, address, host) for host, address in places[:2]],
        voters=[Part(voters[number // 2], address, host) for number, (host, address) in enumerate(voting)],
        authority=args.authority.cert_pem,
        cache_mib=CACHE_MIB,
        keep=True,
        everywhere=True,
    )
    return PostgresHA(name, several, opts)


def _certificate(name: str, args: StoreArgs) -> ServerCertificate:
    signs = {"cert_pem": args.authority.cert_pem, "key_pem": args.authority.key_pem}
    others = (args.gateway, *args.standby.values())
    return ServerCertificate(name, args.stack, args.address, signs, USER, {}, args.engine, others=others)
