"""What an operator may set for a stack. Both readers of the settings ask here, before anything runs."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dynoform.domain import app_names, dyno_sizes, emails, stacks
from dynoform.errors import InvalidInputError

LAST_PORT = 65535
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LONGEST_HOOK = 400 * 1024
"""What a Swarm secret can hold (500 KiB), with room for how it is written down."""
EXEC_PORT = 80
"""Where `heroku ps:exec` connects to: built into Heroku's CLI."""
PLATFORM_PORTS = 7
"""How many ports the platform's own services take, from ``platformPort`` on."""
STANDBY_PORTS = 6
"""How many more its PostgreSQL takes if it has a standby: a server's two, and two of each member of etcd on a host."""
SMALLEST_SUBNET = 28
LONGEST_DOMAIN = 253 - app_names.MAXIMUM_LENGTH - 1
"""What a host name of 253 characters (RFC 1035, 2.3.4) leaves beside an app's name."""
APP_KEYS = ("config", "formation", "source")
ROUTINGS = ("heroku", "better")
"""One dyno drawn at random, or of two drawn the less busy one; images/router knows the words."""
FORMATION_KEYS = ("quantity", "size")
_ACCOUNT_KEY_ID = re.compile(r"[!-~]{1,200}")
_ACCOUNT_KEY = re.compile(r"[A-Za-z0-9_-]{16,700}={0,2}")
UPDATES = {"stack-13": "runImageUpdates", "stack-13-build": "buildImageUpdates"}
"""Image → the setting that says which updates it has."""
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


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


def standby_ports(platform: int) -> range:
    """Ports of the platform's PostgreSQL if it has a standby, after its own; ``platform`` is the first of these."""
    first = platform + PLATFORM_PORTS
    return range(first, first + STANDBY_PORTS)


def check_standby_ports(http: int, https: int, platform: int, metrics: int, *, wanted: bool) -> None:
    """Raises ``InvalidInputError`` naming the setting whose port the platform's PostgreSQL needs for its standby."""
    ports = standby_ports(platform)
    if not wanted:
        return
    if ports[-1] > LAST_PORT:
        why = f"{platform} leaves no {STANDBY_PORTS} ports above its own {PLATFORM_PORTS} for storeStandby"
        raise _wrong("platformPort", why)
    for key, port in (("httpPort", http), ("httpsPort", https), ("metricsPort", metrics)):
        if port in ports:
            raise _wrong(key, f"{port} is one of the platform's own, {ports[0]} to {ports[-1]} (storeStandby)")


def check_metrics_port(metrics: int, http: int, https: int, platform: int) -> None:
    """Raises ``InvalidInputError`` when ``metricsPort`` is no port, or one of the stack's others; 0 is none."""
    if not 0 <= metrics <= LAST_PORT:
        raise _wrong("metricsPort", f"{metrics} is not a port (1 to {LAST_PORT}, or 0 for none)")
    others = {http: "httpPort", https: "httpsPort"}
    others |= dict.fromkeys(range(platform, platform + PLATFORM_PORTS), "one of the platform's own (platformPort)")
    if metrics in others:
        raise _wrong("metricsPort", f"{metrics} is also {others[metrics]}", "9100 is customary")


def check_subnets(dynos: str, platform: str) -> None:
    """Raises ``InvalidInputError`` naming the setting when a network cannot be used, or both overlap."""
    first, second = subnet("dynoSubnet", dynos), subnet("platformSubnet", platform)
    if first.overlaps(second):
        raise _wrong("platformSubnet", f"{second} overlaps dynoSubnet {first}")


def check_drain_networks(value: str, dynos: str, platform: str) -> None:
    """Raises ``InvalidInputError`` for what is no list of networks, or when one of them is the platform's own."""
    own = [subnet("dynoSubnet", dynos), subnet("platformSubnet", platform)]
    for part in filter(None, value.split(",")):
        try:
            found = ipaddress.ip_network(part.strip())
        except ValueError as error:
            why = f"'{part.strip()}' is not a network ({error})"
            raise _wrong("drainNetworks", why, "give one such as 10.20.0.0/16") from error
        for network in own:
            if isinstance(found, ipaddress.IPv4Network) and found.overlaps(network):
                raise _wrong("drainNetworks", f"{found} overlaps the platform's own {network}")


def check_routing(value: str) -> None:
    """Raises ``InvalidInputError`` for what is no way to choose a dyno."""
    if value not in ROUTINGS:
        raise _wrong("routing", f"{value!r} is no way to choose a dyno", f"set it to {' or '.join(ROUTINGS)}")


def check_old_stacks(value: str) -> None:
    """Raises ``InvalidInputError`` for a stack that there is not."""
    try:
        stacks.read(value)
    except InvalidInputError as error:
        raise _wrong("oldStacks", error.what.rstrip(".")) from error


def check_updates(key: str, value: str) -> None:
    """Raises ``InvalidInputError`` for what is no fingerprint of updates (``stack_updates.fingerprint``)."""
    if value and not _FINGERPRINT.fullmatch(value):
        raise _wrong(key, f"{value[:40]!r} was not written by bin/dynoform patch", "remove the line, then run that")


def proxy_networks(value: str) -> tuple[str, ...]:
    """The networks, in CIDR form, of load balancers that speak the PROXY protocol.

    Raises ``InvalidInputError`` for what is no list of networks, and for a network that everybody is in: anybody could
    then say to be anybody.
    """
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            network = ipaddress.ip_network(part)
        except ValueError as error:
            why = f"'{part}' is not a network ({error})"
            raise _wrong("proxyProtocolFrom", why, "give one such as 10.20.0.0/24") from error
        if not network.prefixlen:
            raise _wrong("proxyProtocolFrom", f"{part} is everybody", "name your load balancers' network")
        found.append(str(network))
    return tuple(found)


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


def check_domain(value: str) -> None:
    """Raises ``InvalidInputError`` for what no app's host name can end with."""
    if not value.isascii():
        raise _wrong("domain", f"{value!r} has letters that host names cannot have", "write it in its xn-- form")
    labels = value.split(".")
    if len(value) > LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        why = f"{value!r} is not a domain: lower-case letters, digits and dashes between dots"
        raise _wrong("domain", why, "give one such as apps.example.com")


def check_email(value: str, key: str = "email") -> None:
    """Raises ``InvalidInputError`` naming the setting for what is no e-mail address."""
    try:
        emails.check(value)
    except InvalidInputError as error:
        raise _wrong(key, error.what, "give one such as operator@example.com") from error


def check_acme(directory: str, hook: str, domain: str, *, agreed: bool) -> None:
    """Raises ``InvalidInputError`` naming the setting when no certificates can be got that way.

    ``directory`` is an ACME server's, empty for none; ``hook`` the program that writes the DNS of ``domain``.
    """
    if not directory:
        if hook:
            raise _wrong("acmeDnsHook", "is of no use without acmeDirectory", "set that, too")
        return
    try:
        found = urlsplit(directory)
        usable = found.scheme == "https" and found.hostname and "@" not in found.netloc and not found.fragment
    except ValueError:
        usable = False
    if not usable:
        why = f"{directory!r} is not an https URL"
        raise _wrong("acmeDirectory", why, f"give one such as {LETS_ENCRYPT}")
    if not agreed:
        why = f"automated certificates need your agreement to the terms of {found.hostname}"
        raise _wrong("acmeTermsAgreed", why, "read them, then set it to true")
    if len(hook.encode()) > LONGEST_HOOK:
        raise _wrong("acmeDnsHook", f"is longer than {LONGEST_HOOK} bytes", "make it shorter")
    if hook and domain == "localhost":
        raise _wrong("acmeDnsHook", "is for a domain of your own, and domain is localhost", "set that, too")


def check_acme_account(directory: str, key_id: str, key: str) -> None:
    """Raises ``InvalidInputError`` naming the setting for what is no key of an account with an ACME server.

    Such a key signs what the account of the platform is made by (RFC 8555, 7.3.4).
    """
    if bool(key_id) != bool(key):
        missing, other = ("acmeAccountKey", "acmeAccountKeyId") if key_id else ("acmeAccountKeyId", "acmeAccountKey")
        raise _wrong(missing, f"is missing, and {other} is set", "set both, as the authority gives them")
    if not key:
        return
    if not directory:
        raise _wrong("acmeAccountKey", "is of no use without acmeDirectory", "set that, too")
    if not _ACCOUNT_KEY_ID.fullmatch(key_id):
        raise _wrong("acmeAccountKeyId", f"{key_id[:60]!r} is no name of a key", "give what the authority gives you")
    if not _ACCOUNT_KEY.fullmatch(key.strip()):
        why = "is no key: letters, digits, - and _ of base64url"
        raise _wrong("acmeAccountKey", why, "give what the authority gives you")


def check_listen_address(value: str) -> None:
    """Raises ``InvalidInputError`` for what is no IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError as error:
        why = f"{value!r} is no IPv4 or IPv6 address"
        raise _wrong("listenAddress", why, "give one such as 127.0.0.1") from error


def check_exec_address(value: str, router_addresses: Sequence[str], router_ports: Sequence[int]) -> None:
    """Raises ``InvalidInputError`` for an address on which `heroku ps:exec`, which knows one port, finds no stack's.

    Empty is for a stack without. ``router_addresses`` and ``router_ports`` are where the router listens.
    """
    if not value:
        return
    try:
        usable = not ipaddress.IPv4Address(value).is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise _wrong("execAddress", f"{value!r} is not one IPv4 address of the host", "give one such as 127.0.0.80")
    if EXEC_PORT in router_ports and {value, "0.0.0.0", "::"} & set(router_addresses):  # noqa: S104 - compared
        why = f"port {EXEC_PORT} of {value} is the router's, and ps:exec knows no other port"
        raise _wrong("execAddress", why, "name an address that listenAddress leaves free, or none: ''")


def check_apps(declared: Any) -> None:
    """Raises ``InvalidInputError`` naming the place of the first thing that can be no app, or part of one."""
    if not isinstance(declared, Mapping):
        raise _wrong("apps", "must be a map of app names", "declare apps as name: {source: directory}")
    for name, app in declared.items():
        _check_app(f"apps.{name}", name, app)


def _check_app(path: str, name: Any, app: Any) -> None:
    if name in app_names.RESERVED:
        raise _wrong(path, "is a name of the platform's own")
    try:
        app_names.check(str(name))
    except InvalidInputError as error:
        raise _wrong(path, error.what) from error
    _check_keys(path, app, APP_KEYS)
    if not isinstance(app.get("source"), str) or not app["source"]:
        raise _wrong(path, "source (the directory of the app) is missing", "name it")
    _check_map(f"{path}.config", app.get("config") or {})
    formation = app.get("formation") or {}
    _check_map(f"{path}.formation", formation)
    for kind, wanted in formation.items():
        _check_process_type(f"{path}.formation.{kind}", wanted)


def _check_process_type(path: str, wanted: Any) -> None:
    _check_keys(path, wanted, FORMATION_KEYS)
    quantity, size = wanted.get("quantity", 1), wanted.get("size", dyno_sizes.DEFAULT)
    if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0:
        raise _wrong(path, f"quantity {quantity!r} is not a number of dynos", "give 0 or more")
    try:
        dyno_sizes.find(str(size))
    except InvalidInputError as error:
        raise _wrong(path, error.what.removesuffix(".")) from error


def _check_keys(path: str, value: Any, allowed: tuple[str, ...]) -> None:
    _check_map(path, value)
    unknown = sorted(str(key) for key in value if key not in allowed)
    if unknown:
        raise _wrong(f"{path}.{unknown[0]}", f"is not a setting; there are: {', '.join(allowed)}", "take it out")


def _check_map(path: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(path, "must be a map", "write it as name: value")


def _wrong(key: str, why: str, next_step: str = "choose another") -> InvalidInputError:
    return InvalidInputError(key, why, next_step)
