"""The only reader of ``pulumi.Config``: a stack's settings, typed and checked."""

import ipaddress
from dataclasses import dataclass, field, fields
from typing import Any

import pulumi

EXEC_PORT = 80
"""Built into Heroku's CLI."""


@dataclass(frozen=True)
class FormationSettings:
    """How many dynos of which size a process type of a declared app has."""

    quantity: int = 1
    size: str = "Standard-1X"


@dataclass(frozen=True)
class AppSettings:
    """An app declared in the stack's configuration.

    Parameters:
        name: Heroku's app name, 3 to 30 characters.
        source: directory of the app's source, relative to the project's root.
        config: config vars.
        formation: process type → quantity and size; empty leaves Heroku's default (one web dyno).
    """

    name: str
    source: str
    config: dict[str, str] = field(default_factory=dict)
    formation: dict[str, FormationSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class PlatformPorts:
    """Ports of the platform's services, one after the other.

    Swarm lets a host's port be published once, whatever the address: each stack on a host needs ports of its own.
    """

    registry: int
    postgres: int
    api: int
    logplex_syslog: int
    logplex_http: int
    rendezvous: int
    rendezvous_dyno: int


@dataclass(frozen=True)
class Settings:
    """Everything that an operator can set for a stack; see Pulumi.yaml for each key's meaning."""

    stack: str
    domain: str
    http_port: int
    https_port: int
    listen_address: str
    exec_address: str
    email: str
    platform_port: int
    dyno_subnet: ipaddress.IPv4Network
    platform_subnet: ipaddress.IPv4Network
    apps: tuple[AppSettings, ...]

    @property
    def dyno_gateway(self) -> str:
        """The host's own address on the dynos' bridge; dynos publish their ports on it."""
        return str(next(self.dyno_subnet.hosts()))

    @property
    def platform_address(self) -> str:
        """The host's own address on the platform's bridge; platform services publish their ports on it."""
        return str(next(self.platform_subnet.hosts()))

    @property
    def api_url(self) -> str:
        """Base URL of the Platform API, as the heroku CLI takes it in HEROKU_HOST."""
        host = "localhost" if self.domain == "localhost" else f"api.localhost.{self.domain}"
        return f"https://{host}:{self.https_port}"

    @property
    def ports(self) -> "PlatformPorts":
        """Where the platform's services are published on the platform address."""
        return PlatformPorts(*range(self.platform_port, self.platform_port + len(fields(PlatformPorts))))

    def router_has(self, address: str, port: int) -> bool:
        """Whether the router listens there."""
        listens = self.listen_address in ("0.0.0.0", address) or address == self.dyno_gateway  # noqa: S104 - compared
        return listens and port in (self.http_port, self.https_port)

    def web_url(self, app: str) -> str:
        """Where an app answers over http."""
        return f"http://{app}.{self.domain}{'' if self.http_port == 80 else f':{self.http_port}'}/"

    @classmethod
    def load(cls) -> "Settings":
        """Read the current stack's configuration.

        Raises:
            pulumi.RunError: a value is missing, of the wrong type or contradicts another; names the key.
        """
        config = pulumi.Config()
        settings = cls(
            stack=pulumi.get_stack(),
            domain=config.require("domain"),
            http_port=_port(config, "httpPort"),
            https_port=_port(config, "httpsPort"),
            listen_address=config.require("listenAddress"),
            exec_address=_exec_address(config),
            email=config.require("email"),
            platform_port=_port(config, "platformPort"),
            dyno_subnet=_subnet(config, "dynoSubnet"),
            platform_subnet=_subnet(config, "platformSubnet"),
            apps=_apps(config.get_object("apps") or {}),
        )
        if settings.dyno_subnet.overlaps(settings.platform_subnet):
            raise _wrong("platformSubnet", f"{settings.platform_subnet} overlaps dynoSubnet {settings.dyno_subnet}")
        if settings.http_port == settings.https_port:
            raise _wrong("httpsPort", f"{settings.https_port} is also httpPort")
        if settings.exec_address and settings.router_has(settings.exec_address, EXEC_PORT):
            why = f"port {EXEC_PORT} of {settings.exec_address} is the router's, and ps:exec knows no other port"
            raise _wrong("execAddress", f"{why}. Name an address that listenAddress leaves free, or none: ''")
        return settings


def _wrong(key: str, why: str) -> pulumi.RunError:
    return pulumi.RunError(f"dynoform:{key}: {why}. Set it with: pulumi config set {key} <value>")


def _exec_address(config: pulumi.Config) -> str:
    value = config.get("execAddress") or ""
    try:
        usable = not value or not ipaddress.IPv4Address(value).is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise _wrong("execAddress", f"'{value}' is not one IPv4 address of the host")
    return value


def _port(config: pulumi.Config, key: str) -> int:
    value = config.require_int(key)
    if not 0 < value < 65536:
        raise _wrong(key, f"{value} is not a port (1 to 65535)")
    return value


def _subnet(config: pulumi.Config, key: str) -> ipaddress.IPv4Network:
    value = config.require(key)
    try:
        subnet = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise _wrong(key, f"'{value}' is not an IPv4 network ({error})") from error
    if not subnet.is_private or subnet.prefixlen > 28:
        raise _wrong(key, f"{value} must be a private network of at least 16 addresses")
    return subnet


def _apps(declared: Any) -> tuple[AppSettings, ...]:
    if not isinstance(declared, dict):
        raise _wrong("apps", "must be a map of app names")
    return tuple(_app(name, value) for name, value in sorted(declared.items()))


def _app(name: str, declared: Any) -> AppSettings:
    path = f"apps.{name}"
    _only_keys(path, declared, {"source", "config", "formation"})
    if not isinstance(declared.get("source"), str):
        raise _wrong(path, "source (the directory of the app) is missing")
    config = declared.get("config") or {}
    _only_keys(f"{path}.config", config, set(config) if isinstance(config, dict) else set())
    formation = declared.get("formation") or {}
    if not isinstance(formation, dict):
        raise _wrong(f"{path}.formation", "must be a map")
    return AppSettings(
        name=name,
        source=declared["source"],
        config={key: str(value) for key, value in config.items()},
        formation={kind: _formation(f"{path}.formation.{kind}", value) for kind, value in formation.items()},
    )


def _formation(path: str, declared: Any) -> FormationSettings:
    _only_keys(path, declared, {"quantity", "size"})
    quantity = declared.get("quantity", 1)
    if not isinstance(quantity, int) or quantity < 0:
        raise _wrong(path, f"quantity {quantity!r} is not a number of dynos")
    return FormationSettings(quantity=quantity, size=str(declared.get("size", "Standard-1X")))


def _only_keys(path: str, value: Any, allowed: set[str]) -> None:
    if not isinstance(value, dict):
        raise _wrong(path, "must be a map")
    unknown = sorted(set(value) - allowed)
    if unknown:
        raise _wrong(f"{path}.{unknown[0]}", f"is not a setting; there are: {', '.join(sorted(allowed))}")
