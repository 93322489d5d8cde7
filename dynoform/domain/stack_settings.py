"""What an operator may set for a stack. Both readers of the settings ask here, before anything runs."""

import ipaddress

from dynoform.errors import InvalidInputError

LAST_PORT = 65535
PLATFORM_PORTS = 7
"""How many ports the platform's own services take, from ``platformPort`` on."""
SMALLEST_SUBNET = 28


def check_ports(http: int, https: int, platform: int) -> None:
    """Raises ``InvalidInputError`` naming the setting when a port is none, or two of the stack's are the same."""
    for key, port in (("httpPort", http), ("httpsPort", https), ("platformPort", platform)):
        if not 0 < port <= LAST_PORT:
            raise _wrong(key, f"{port} is not a port (1 to {LAST_PORT})")
    last = platform + PLATFORM_PORTS - 1
    if last > LAST_PORT:
        highest = LAST_PORT - PLATFORM_PORTS + 1
        raise _wrong("platformPort", f"{platform} is not the first of {PLATFORM_PORTS} ports (at most {highest})")
    if http == https:
        raise _wrong("httpsPort", f"{https} is also httpPort")
    for key, port in (("httpPort", http), ("httpsPort", https)):
        if platform <= port <= last:
            raise _wrong(key, f"{port} is one of the platform's own, {platform} to {last} (platformPort)")


def check_subnets(dynos: str, platform: str) -> None:
    """Raises ``InvalidInputError`` naming the setting when a network cannot be used, or both overlap."""
    first, second = subnet("dynoSubnet", dynos), subnet("platformSubnet", platform)
    if first.overlaps(second):
        raise _wrong("platformSubnet", f"{second} overlaps dynoSubnet {first}")


def subnet(key: str, value: str) -> ipaddress.IPv4Network:
    """The network that a setting gives. Raises ``InvalidInputError`` for what is no private IPv4 network."""
    try:
        found = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise _wrong(key, f"'{value}' is not an IPv4 network ({error})") from error
    if not found.is_private or found.prefixlen > SMALLEST_SUBNET:
        raise _wrong(key, f"{value} must be a private network of at least {1 << 32 - SMALLEST_SUBNET} addresses")
    return found


def gateway(network: ipaddress.IPv4Network) -> str:
    """The host's own address on the bridge of a network: its first."""
    return str(next(network.hosts()))


def _wrong(key: str, why: str) -> InvalidInputError:
    return InvalidInputError(key, why, "choose another")
