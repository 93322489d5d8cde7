"""Addresses that are always at a host whose router answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.ansible import Playbook, PlaybookArgs
from components.fleet import Host

HIGHEST_PRIORITY = 200
"""The first host's; each further one has one less."""


@dataclass(frozen=True)
class RouterAddressesArgs:
    """Parameters of ``RouterAddresses``.

    Parameters:
        hosts: all that have a router, each with a private address.
        addresses: IPv4 addresses, which one of them holds.
        check: address and port, with a space between, at which the router of each host answers HTTP.
    """

    hosts: Sequence[Host]
    addresses: Sequence[str]
    check: str


class RouterAddresses(pulumi.ComponentResource):
    """keepalived on each host (VRRP): another takes the addresses over when a host or its router is gone."""

    def __init__(self, name: str, args: RouterAddressesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:RouterAddresses", name, None, opts)
        for number, host in enumerate(args.hosts):
            Playbook(
                f"{name}-{host.inventory.name}",
                PlaybookArgs(
                    playbook="playbooks/router_address.yml",
                    absent_playbook="playbooks/router_address_absent.yml",
                    host=host.inventory,
                    variables={
                        "router_address_addresses": list(args.addresses),
                        "router_address_private_address": host.args.private_address,
                        "router_address_peers": [
                            other.args.private_address for other in args.hosts if other is not host
                        ],
                        "router_address_priority": HIGHEST_PRIORITY - number,
                        "router_address_check": args.check,
                    },
                ),
                pulumi.ResourceOptions(parent=self, depends_on=[host.playbook]),
            )
        self.register_outputs({"addresses": list(args.addresses)})
