"""What a platform process is told by its service: environment for settings, files for secrets."""

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dynoform.domain import builds, eco, slugs, stacks
from dynoform.errors import ConfigurationError, InvalidInputError

SECRETS = Path("/run/secrets")
SOURCES = Path("/var/lib/dynoform/sources")
REPOSITORIES = Path("/var/lib/dynoform/repositories")
BACKUPS = Path("/var/lib/dynoform/backups")
ROUTER = Path("/var/lib/dynoform/router")
CGROUPS = Path("/host/cgroup")
CONTAINERS = Path("/host/containers")
POSTGRES_PORT = 5432
LOGPLEX_SYSLOG_PORT = 6514
LOGPLEX_HTTP_PORT = 8001
REGISTRY_PORT = 5000
API_PORT = 8000
RENDEZVOUS_PORT = 7405
RENDEZVOUS_DYNO_PORT = 7406


@dataclass(frozen=True)
class Configuration:
    """Settings of one platform process. Addresses are IPv4 or names, ports are TCP, paths are inside the container."""

    stack: str
    domain: str
    http_port: int
    https_port: int
    listen_addresses: tuple[str, ...]
    platform_address: str
    dyno_network: str
    run_image: str
    build_image: str
    email: str
    postgres_port: int = POSTGRES_PORT
    registry_port: int = REGISTRY_PORT
    api_port: int = API_PORT
    logplex_syslog_port: int = LOGPLEX_SYSLOG_PORT
    logplex_http_port: int = LOGPLEX_HTTP_PORT
    rendezvous_dyno_port: int = RENDEZVOUS_DYNO_PORT
    """These six: where the platform's services are published on the platform address."""
    rendezvous_port: int = RENDEZVOUS_PORT
    """Where `heroku run` attaches, on the listen addresses."""
    exec_address: str = ""
    """Where `heroku ps:exec` connects to, by SSH on port 80; empty for a stack without."""
    secrets: Path = SECRETS
    sources: Path = SOURCES
    repositories: Path = REPOSITORIES
    backups: Path = BACKUPS
    """Where logical backups of databases are, encrypted."""
    router: Path = ROUTER
    cgroups: Path = CGROUPS
    """Where the host's /sys/fs/cgroup is seen."""
    containers: Path = CONTAINERS
    """Where the engine's directory of containers is seen, with their logs."""
    webhook_private: bool = False
    """Whether webhooks may lead to private addresses: loopback, the hosts' networks, the platform itself."""
    webhook_authorities: Path | None = None
    """PEM file of authorities that webhooks' receivers may have, besides the system's."""
    lines: Path | None = None
    """Where the log plane keeps apps' lines; None: in memory alone."""
    logplex_authority: Path | None = None
    """PEM file of the authority that signed the log plane's certificate; None: it is spoken to without TLS."""
    host: str = ""
    """The host that the process is on; empty where there is one."""
    drain_networks: tuple[str, ...] = ()
    """Networks besides the public internet that log drains may lead to, in CIDR form."""
    drain_authorities: Path | None = None
    """PEM file of authorities that log drains' receivers may have, besides the system's."""
    sleeps_after: timedelta = eco.SLEEPS_AFTER
    """How long an app on Eco dynos is without a request before it sleeps."""
    build_seconds: int = builds.SECONDS
    """How long the buildpacks of one build may take."""
    slug_bytes: int = slugs.BYTES
    """Largest slug, compressed."""
    data_address: str = ""
    """Where the platform's host has the ports of databases that are add-ons, for dynos and the operator's machine."""
    dyno_gateway: str = ""
    """Where dynos reach their own host, whichever that is."""
    data_constraints: tuple[str, ...] = ()
    """What the host has to be that has their data, in Swarm's words."""
    postgres_image: str = ""
    valkey_image: str = ""
    kafka_image: str = ""
    postgres_ha_image: str = ""
    """What their servers run from."""
    backup_repository: Mapping[str, Any] = field(default_factory=dict)
    """Where their backups are, see ``domain.backup_repositories``; empty for a volume beside each."""
    old_stacks: tuple[str, ...] = ()
    """Stacks whose apps are told to change to another."""
    acme_directory: str = ""
    """URL of the directory of the authority that automated certificates come from; empty for none."""
    acme_email: str = ""
    """Whom the authority writes to."""
    store_address: str = ""
    """Where this host has the stack's own database; empty for the platform address."""
    store_authority: Path | None = None
    """PEM file of the authority that signed its certificate; None: it is spoken to without TLS."""
    database: str = ""
    """libpq-like URL without the password; empty means the stack's own database."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Configuration":
        """The configuration that ``DYNOFORM_…`` variables describe.

        Raises ``ConfigurationError`` naming the variable that is no port, time or network, or neither true nor false.
        """
        read = _Reader(environment)
        return cls(
            stack=read.text("STACK", "local"),
            domain=read.text("DOMAIN", "localhost"),
            http_port=read.port("HTTP_PORT", 8080),
            https_port=read.port("HTTPS_PORT", 8443),
            listen_addresses=tuple(a.strip() for a in read.text("LISTEN_ADDRESS", "127.0.0.1").split(",") if a.strip()),
            platform_address=read.text("PLATFORM_ADDRESS", "172.29.4.1"),
            dyno_network=read.text("DYNO_NETWORK", f"{read.text('STACK', 'local')}_dynos"),
            run_image=read.text("RUN_IMAGE", ""),
            build_image=read.text("BUILD_IMAGE", ""),
            email=read.text("EMAIL", "operator@localhost"),
            postgres_port=read.port("POSTGRES_PORT", POSTGRES_PORT),
            registry_port=read.port("REGISTRY_PORT", REGISTRY_PORT),
            api_port=read.port("API_PORT", API_PORT),
            logplex_syslog_port=read.port("LOGPLEX_SYSLOG_PORT", LOGPLEX_SYSLOG_PORT),
            logplex_http_port=read.port("LOGPLEX_HTTP_PORT", LOGPLEX_HTTP_PORT),
            rendezvous_dyno_port=read.port("RENDEZVOUS_DYNO_PORT", RENDEZVOUS_DYNO_PORT),
            rendezvous_port=read.port("RENDEZVOUS_PORT", RENDEZVOUS_PORT),
            exec_address=read.text("EXEC_ADDRESS", ""),
            secrets=Path(read.text("SECRETS", str(SECRETS))),
            sources=Path(read.text("SOURCES", str(SOURCES))),
            repositories=Path(read.text("REPOSITORIES", str(REPOSITORIES))),
            backups=Path(read.text("BACKUPS", str(BACKUPS))),
            router=Path(read.text("ROUTER", str(ROUTER))),
            containers=Path(read.text("CONTAINERS", str(CONTAINERS))),
            cgroups=Path(read.text("CGROUPS", str(CGROUPS))),
            webhook_private=read.flag("WEBHOOK_PRIVATE"),
            webhook_authorities=read.path("WEBHOOK_AUTHORITIES"),
            lines=read.path("LINES"),
            logplex_authority=read.path("LOGPLEX_AUTHORITY"),
            host=read.text("HOST", ""),
            drain_networks=read.networks("DRAIN_NETWORKS"),
            drain_authorities=read.path("DRAIN_AUTHORITIES"),
            sleeps_after=read.seconds("ECO_SLEEPS_AFTER", eco.SLEEPS_AFTER),
            build_seconds=read.count("BUILD_SECONDS", builds.SECONDS),
            slug_bytes=read.count("SLUG_BYTES", slugs.BYTES),
            data_address=read.text("DATA_ADDRESS", ""),
            dyno_gateway=read.text("DYNO_GATEWAY", ""),
            data_constraints=tuple(read.text("DATA_CONSTRAINTS", "").split()),
            postgres_image=read.text("POSTGRES_IMAGE", ""),
            valkey_image=read.text("VALKEY_IMAGE", ""),
            kafka_image=read.text("KAFKA_IMAGE", ""),
            postgres_ha_image=read.text("POSTGRES_HA_IMAGE", ""),
            backup_repository=read.object("BACKUP_REPOSITORY"),
            old_stacks=read.stacks("OLD_STACKS"),
            acme_directory=read.text("ACME_DIRECTORY", ""),
            acme_email=read.text("ACME_EMAIL", ""),
            store_address=read.text("STORE_ADDRESS", ""),
            store_authority=read.path("STORE_AUTHORITY"),
            database=read.text("DATABASE", ""),
        )

    @property
    def api_url(self) -> str:
        """Where clients reach the Platform API, without a trailing slash."""
        return f"https://{self._api_host}{_port(self.https_port, 443)}"

    @property
    def _api_host(self) -> str:
        # Heroku's CLI takes a host only when its name contains "localhost" (or is Heroku's own).
        return "localhost" if self.domain == "localhost" else f"api.localhost.{self.domain}"

    def database_address(self, *, everywhere: bool) -> str:
        """Where a database's clients find it that is led to on each host, or on the platform's alone."""
        return self.dyno_gateway if everywhere else self.data_address

    def web_url(self, app_name: str) -> str:
        """Where an app answers over plain http, with the trailing slash that Heroku shows."""
        return f"http://{app_name}.{self.domain}{_port(self.http_port, 80)}/"

    @property
    def internal_api_url(self) -> str:
        """Where the platform's own processes reach the API, without a trailing slash."""
        return f"http://{self.platform_address}:{self.api_port}"

    @property
    def rendezvous_url(self) -> str:
        """Where `heroku run` attaches, without the secret. Clients speak TLS there."""
        return f"rendezvous://{self._api_host}:{self.rendezvous_port}"

    @property
    def git_host(self) -> str:
        """Host and port of git remotes; their scheme is always https."""
        return f"{self._api_host}{_port(self.https_port, 443)}"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the store, without the password: that is read from its secret for each connection."""
        if self.database:
            return self.database
        place = f"{self.store_address or self.platform_address}:{self.postgres_port}"
        url = f"postgresql+psycopg://dynoform@{place}/dynoform"
        if self.store_authority is None:
            return url
        return f"{url}?{urlencode({'sslmode': 'verify-full', 'sslrootcert': self.store_authority})}"

    @property
    def own_addresses(self) -> frozenset[str]:
        """Where the platform itself is: nothing that a user chose may have it connect to there."""
        return frozenset((self.platform_address, *self.listen_addresses))

    def secret(self, name: str) -> str:
        """The text of a secret, without surrounding white space.

        Raises ``ConfigurationError`` when it is missing or empty. Read each time, so a new value needs no restart.
        """
        path = self.secrets / name
        try:
            value = path.read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                f"secret {name}", f"cannot be read ({error.strerror})", "run bin/dynoform up"
            ) from None
        if not value:
            raise ConfigurationError(f"secret {name}", "is empty", "run bin/dynoform up")
        return value

    def secret_path(self, name: str) -> Path:
        """Where a secret's file is, for libraries that want a path (certificates)."""
        return self.secrets / name


def _port(port: int, default: int) -> str:
    return "" if port == default else f":{port}"


class _Reader:
    """Typed access to ``DYNOFORM_…`` variables."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    def text(self, name: str, default: str) -> str:
        return self.environment.get(f"DYNOFORM_{name}", "").strip() or default

    def port(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal() or not 0 < int(value) < 65536:
            raise ConfigurationError(f"DYNOFORM_{name}", f"{value!r} is not a port", "use a number from 1 to 65535")
        return int(value)

    def seconds(self, name: str, default: timedelta) -> timedelta:
        return timedelta(seconds=self.count(name, int(default.total_seconds()), "a time", "a number of seconds"))

    def count(self, name: str, default: int, what: str = "a number", use: str = "a whole number") -> int:
        value = self.text(name, str(default))
        if not value.isdecimal() or not int(value):
            raise ConfigurationError(f"DYNOFORM_{name}", f"{value!r} is not {what}", f"use {use}, 1 or more")
        return int(value)

    def path(self, name: str) -> Path | None:
        value = self.text(name, "")
        return Path(value) if value else None

    def networks(self, name: str) -> tuple[str, ...]:
        values = tuple(each.strip() for each in self.text(name, "").split(",") if each.strip())
        for value in values:
            try:
                ipaddress.ip_network(value)
            except ValueError:
                raise ConfigurationError(
                    f"DYNOFORM_{name}", f"{value!r} is not a network", "use CIDR form, as 10.20.0.0/16"
                ) from None
        return values

    def object(self, name: str) -> Mapping[str, Any]:
        try:
            found = json.loads(self.text(name, "{}"))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ConfigurationError(f"DYNOFORM_{name}", "is no JSON object", "run bin/dynoform up")
        return found

    def stacks(self, name: str) -> tuple[str, ...]:
        try:
            return stacks.read(self.text(name, ""))
        except InvalidInputError as error:
            raise ConfigurationError(f"DYNOFORM_{name}", error.what.rstrip("."), "name stacks that there are") from None

    def flag(self, name: str) -> bool:
        value = self.text(name, "false")
        if value not in ("true", "false"):
            raise ConfigurationError(f"DYNOFORM_{name}", f"{value!r} is not a choice", "use true or false")
        return value == "true"
