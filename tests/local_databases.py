"""Databases of add-ons without an engine: the providers are the real ones, on the tests' own PostgreSQL."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import make_url

from dynoform.addons.databases import Place
from dynoform.addons.postgres import PostgresProvider
from dynoform.addons.queue import Surroundings
from dynoform.addons.redis import RedisProvider
from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.domain import addons, data_services, own_services
from dynoform.errors import UnavailableError
from dynoform.store.addon_services import register_own


@dataclass
class LocalEngine:
    """Runs what is to run in a container on this machine, against one server for all. ``url`` is its superuser's."""

    url: str
    published: set[int] = field(default_factory=set)

    def network_id(self, name: str) -> str:
        return f"{name}-id"

    def published_ports(self) -> set[int]:
        return self.published

    def run(self, service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        assert argv[0] == "psql", "there is no Valkey here"
        url = make_url(self.url)
        server = ["--host", str(url.host), "--port", str(url.port), "--username", str(url.username)]
        done = subprocess.run([*argv, *server], input=stdin, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise UnavailableError(service, done.stderr)
        return done.stdout

    def wait(self, service: str, argv: Sequence[str], user: str) -> None:
        return

    def kill(self, service: str) -> None:
        raise AssertionError("there is no container here")

    def image(self, service: str) -> str:
        return ""


@dataclass
class Made:
    """Remembers what was to be made, by name, and all that was ever told; makes nothing."""

    instances: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    again: list[bool] = field(default_factory=list)
    told: list[Mapping[str, Any]] = field(default_factory=list)

    def up(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        self.instances[name] = instance
        self.again.append(again)
        self.told.append(instance)

    def destroy(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        self.instances.pop(name, None)


@dataclass
class Local:
    """The worker of databases, and what it works with."""

    worker: Worker
    engine: LocalEngine
    made: Made

    def connect(self, url: str) -> "psycopg.Connection[tuple[Any, ...]]":
        """As a client does, by an add-on's URL; the server is the tests' own wherever that leads."""
        parts, server = urlsplit(url), make_url(self.engine.url)
        return psycopg.connect(
            host=server.host,
            port=server.port,
            user=parts.username,
            password=parts.password,
            dbname=parts.path[1:],
            autocommit=True,
            connect_timeout=5,
        )


def local(services: Services) -> Local:
    """A worker of databases over the services' store, with the platform's own services registered."""
    with services.store.transaction() as session:
        register_own(session, services.vault)
    secrets = services.configuration.secrets
    for name in ("ca.crt", "ca.key"):
        (secrets / name).write_text("of the tests")
    configuration = replace(services.configuration, postgres_image="postgres:1")
    engine, made = LocalEngine(services.configuration.database_url), Made()
    place = Place(configuration, services.store, services.vault, engine, made)
    worker = Worker(
        services.store,
        services.vault,
        {data_services.POSTGRES: PostgresProvider(place), data_services.REDIS: RedisProvider(place)},
        Surroundings(configuration.api_url, "local"),
        services.logs,
        services.journal,
        others=(addons.PARTNER, own_services.SCHEDULER),
    )
    return Local(worker, engine, made)


def clean(services: Services) -> None:
    """Remove what the tests' server has got: databases and roles."""
    with psycopg.connect(
        services.configuration.database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True
    ) as server:
        names = server.execute("SELECT datname FROM pg_database WHERE datname ~ '^d[0-9a-f]{14}$'").fetchall()
        for (name,) in names:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        roles = server.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^[uo][0-9a-f]{14}$' ORDER BY 1 DESC")
        for (name,) in roles.fetchall():
            server.execute(f'DROP ROLE "{name}"')
