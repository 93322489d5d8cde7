"""The only reader of ``pulumi.Config``: a stack's settings, typed and checked."""

import ipaddress
from dataclasses import dataclass, field, fields
from typing import Any

import pulumi

from dynoform.domain import stack_settings
from dynoform.errors import InvalidInputError


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
    email: str
    platform_port: int
    dyno_subnet: ipaddress.IPv4Network
    platform_subnet: ipaddress.IPv4Network
    apps: tuple[AppSettings, ...]

    @property
    def dyno_gateway(self) -> str:
        """The host's own address on the dynos' bridge; dynos publish their ports on it."""
        return stack_settings.gateway(self.dyno_subnet)

    @property
    def platform_address(self) -> str:
        """The host's own address on the platform's bridge; platform services publish their ports on it."""
        return stack_settings.gateway(self.platform_subnet)

    @property
    def api_url(self) -> str:
        """Base URL of the Platform API, as the heroku CLI takes it in HEROKU_HOST."""
        host = "localhost" if self.domain == "localhost" else f"api.localhost.{self.domain}"
        return f"https://{host}:{self.https_port}"

    @property
    def ports(self) -> "PlatformPorts":
        """Where the platform's services are published on the platform address."""
        return PlatformPorts(*range(self.platform_port, self.platform_port + len(fields(PlatformPorts))))

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
        try:
            _check(config)
        except InvalidInputError as error:
            raise _wrong(error.what, error.why) from error
        return cls(
            stack=pulumi.get_stack(),
            domain=config.require("domain"),
            http_port=config.require_int("httpPort"),
            https_port=config.require_int("httpsPort"),
            listen_address=config.require("listenAddress"),
            email=config.require("email"),
            platform_port=config.require_int("platformPort"),
            dyno_subnet=ipaddress.IPv4Network(config.require("dynoSubnet")),
            platform_subnet=ipaddress.IPv4Network(config.require("platformSubnet")),
            apps=_apps(config.get_object("apps") or {}),
        )


def _wrong(key: str, why: str) -> pulumi.RunError:
    return pulumi.RunError(f"dynoform:{key}: {why}. Set it with: pulumi config set {key} <value>")


def _check(config: pulumi.Config) -> None:
    stack_settings.check_ports(*(config.require_int(key) for key in ("httpPort", "httpsPort", "platformPort")))
    stack_settings.check_subnets(config.require("dynoSubnet"), config.require("platformSubnet"))


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
