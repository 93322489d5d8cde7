"""Which addresses users may have the platform connect to: public ones only.

A user's URL must not lead to what only the platform can reach: its own services, its hosts, a cloud's metadata.
"""

import ipaddress
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")


def is_public(address: str, own: Collection[str] = ()) -> bool:
    """Whether this IP address is one of the public internet, and none of the platform's ``own``.

    An IPv4 address within an IPv6 one (mapped, 6to4, Teredo, NAT64) is judged as itself. False for what is no address.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_public(each) and str(each) not in own for each in (found, *_within(found)))


def _within(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    teredo = address.teredo or ()
    nat64 = IPv4Address(address.packed[-4:]) if address in _NAT64 else None
    return [each for each in (address.ipv4_mapped, address.sixtofour, *teredo, nat64) if each is not None]


def _public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        # Python's tables do not count addresses with an IPv4 one inside as public; that one decides (see _within).
        carrier = address in _NAT64 or address.ipv4_mapped or address.sixtofour or address.teredo
        if carrier:
            return True
        if address in _SITE_LOCAL:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
