"""Databases of add-ons without an engine: the providers are the real ones, on the tests' own PostgreSQL."""

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import make_url

from dynoform.addons import postgres_links
from dynoform.addons.databases import Known, Place
from dynoform.addons.engine import Job, JobState
from dynoform.addons.postgres import PostgresProvider
from dynoform.addons.queue import Surroundings
from dynoform.addons.redis import RedisProvider
from dynoform.addons.transfers import Transfers
from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.cli.places import CHECKOUT
from dynoform.domain import addons, data_services, own_services
from dynoform.domain.data_hosts import DataHost
from dynoform.domain.data_services import Access
from dynoform.domain.transfers import FOLDER
from dynoform.errors import UnavailableError
from dynoform.store.addon_services import register_own
from tests.postgres import binaries


def repository(
    *backups: dict[str, Any], code: int = 0, message: str = "ok", waits: str | None = None, **more: Any
) -> str:
    """What is said of a repository that has these backups; ``more`` of its server."""
    stanza = {
        "backup": list(backups),
        "archive": [{"max": "000000010000000000000009"}],
        "status": {"code": code, "message": message, "lock": {"backup": {"held": False}}},
    }
    server = {"now": datetime.now(UTC).isoformat(), "waits_since": waits, **more}
    return f"{json.dumps(server)}\n{json.dumps([stanza])}\n"


def backup(ago: timedelta, kind: str = "full", segment: str = "000000010000000000000009") -> dict[str, Any]:
    """A backup as pgBackRest shows it."""
    stop = int((datetime.now(UTC) - ago).timestamp())
    return {
        "type": kind,
        "timestamp": {"start": stop - 2, "stop": stop},
        "archive": {"start": segment, "stop": segment},
        "info": {"repository": {"delta": 3_000_000}},
    }


PROGRAM = CHECKOUT / "images/postgres/transfer"
LIMIT = CHECKOUT / "images/postgres/limit"
SUPERUSER = CHECKOUT / "images/postgres/superuser"
KILLED = JobState(False, "exit code 137", killed=True)
_NEWER = " -c transaction_timeout=0"
"""What PostgreSQL knows from 17 on; the tests' own may be older."""


@dataclass
class LocalEngine:
    """Runs what is to run in a container on this machine, against one server for all. ``url`` is its superuser's."""

    url: str
    published: set[int] = field(default_factory=set)
    said: str = field(default_factory=lambda: repository(backup(timedelta(hours=1))))
    """What the program of continuous protection says of its repository."""
    started: list[list[str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What was said to the server."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """Those that were begun and not taken away."""
    begun: list[Job] = field(default_factory=list)
    backups: Path = Path()
    done: dict[str, JobState] = field(default_factory=dict)
    fails: str = ""
    """Why jobs fail."""
    kills: int = 0
    """How many of those that are begun next are killed."""
    primary: int = 1
    """Which of several servers takes writes; 0 for none."""
    standing: str = '{"members": []}'
    """What their Patronis say of each other."""
    served: list[str] = field(default_factory=list)
    """In which services' containers statements were run."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """What else was asked of which of several servers."""
    knows: Callable[[str], str] = lambda service: ""
    """What the server of a service was told of its repository."""

    hosts: list[DataHost] = field(default_factory=list)
    """The swarm's."""
    reaches_all: bool = True
    """Whether what is to run on all hosts does."""
    led: list[str] = field(default_factory=list)
    """Of which services that was asked."""
    volumes: dict[str, str] = field(default_factory=dict)
    """That were made before their add-on's stack was; whose they are."""

    def data_hosts(self) -> list[DataHost]:
        return self.hosts

    def network_id(self, name: str) -> str:
        return f"{name}-id"

    def published_ports(self) -> set[int]:
        return self.published

    def run(self, service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        if argv[0] == "/opt/dynoform/protect":
            return self.said if argv[1] == "state" else ""
        if argv[0] == "/opt/dynoform/limit":
            return self._limit(*argv[1:])
        if argv[0] == "/opt/dynoform/ha":
            return self._of_several(service, argv[1])
        if argv[0] == "sha256sum":
            return f"{hashlib.sha256(self.knows(service).encode()).hexdigest()}  {argv[1]}\n"
        if argv[0] == "pgbackrest":
            self.asked.append((service, argv[-1]))
            return ""
        if argv[0] == "sh":
            return "no\n"  # no server has data
        assert argv[0] == "psql", "there is no Valkey here"
        self.told.append(stdin)
        self.served.append(service)
        argv = [word.replace(_NEWER, "") for word in argv]
        url = make_url(self.url)
        server = ["--host", str(url.host), "--port", str(url.port), "--username", str(url.username)]
        done = subprocess.run([*argv, *server], input=stdin, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise UnavailableError(service, done.stderr)
        return done.stdout

    def _of_several(self, service: str, command: str) -> str:
        if command == "primary" and not service.endswith(f"-{self.primary}"):
            raise UnavailableError(service, "ha: 503")
        if command != "primary":
            self.asked.append((service, command))
        return self.standing if command == "state" else ""

    def wait(self, service: str, argv: Sequence[str], user: str) -> None:
        return

    def leads(self, service: str) -> bool:
        self.led.append(service)
        return self.reaches_all

    def kill(self, service: str) -> None:
        raise AssertionError("there is no container here")

    def image(self, service: str) -> str:
        return ""

    def start(self, service: str, argv: Sequence[str], user: str) -> None:
        self.started.append([service, *argv])

    def job(self, name: str) -> JobState | None:
        return self.done.get(name, JobState(False, self.fails)) if name in self.jobs else None

    def job_names(self) -> list[str]:
        return list(self.jobs)

    def _limit(self, *words: str) -> str:
        """Run the image's own program here."""
        url, program = make_url(self.url), self.backups / "limit"
        program.write_text(LIMIT.read_text())
        (self.backups / "superuser").write_text(SUPERUSER.read_text().replace(_NEWER, ""))
        environment = {"PGHOST": str(url.host), "PGPORT": str(url.port), "PGUSER": str(url.username)}
        path = f"{binaries()}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", program, *words], env={**environment, "PATH": path}, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise UnavailableError("limit", done.stderr)
        return done.stdout

    def _transfer(self, job: Job) -> None:
        """Run the image's own program here, to its end."""
        url, folder = make_url(self.url), str(self.backups)
        told = job.stdin.replace("port=5432", f"port={url.port}").replace("sslmode=require", "sslmode=disable")
        words = [word.replace(FOLDER, folder) for word in job.argv[1:]]
        path = f"{binaries()}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", PROGRAM, *words],
            input=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env={"PATH": path, "LANG": "C.UTF-8"},
        )
        self.done[job.name] = JobState(False, done.stdout if done.returncode else "", done.stdout)

    def begin(self, job: Job) -> None:
        self.jobs[job.name] = job
        self.begun.append(job)
        if self.kills:
            self.kills -= 1
            self.done[job.name] = KILLED
        elif job.argv[0] == "/opt/dynoform/transfer":
            self._transfer(job)

    def end(self, name: str) -> None:
        self.jobs.pop(name, None)
        self.done.pop(name, None)

    def make_volume(self, name: str, addon: str) -> None:
        self.volumes[name] = addon

    def remove_volumes(self, addon: str) -> None:
        self.volumes = {name: each for name, each in self.volumes.items() if each != addon}


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

    def repository(self, service: str) -> str:
        """What opens the repository of a service's database, or of the database of one of several servers."""
        addon = service.partition("_addon-")[2]
        return str(self.instances[addon if addon in self.instances else addon[:-2]]["repository"])

    def destroy(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        self.instances.pop(name, None)


@dataclass
class Local:
    """The worker of databases, and what it works with."""

    worker: Worker
    engine: LocalEngine
    made: Made
    transfers: Transfers
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Whoever works, or has the worker work, has it meanwhile."""

    def lead_links_here(self, patch: pytest.MonkeyPatch) -> None:
        """Have data links lead to the tests' own server, which has no TLS, and asks nobody for a password."""
        server, create = make_url(self.engine.url), postgres_links.create

        def create_here(known: Known, name: str, to: Access) -> str:
            here = replace(to, host=str(server.host), port=server.port or 5432)
            trusted = f"password '{to.password}', password_required 'false'"
            said = create(known, name, here).replace(f"password '{to.password}'", trusted)
            return said.replace("sslmode 'require'", "sslmode 'disable'")

        patch.setattr(postgres_links, "create", create_here)

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
    configuration = replace(services.configuration, postgres_image="postgres:1", postgres_ha_image="postgres-ha:1")
    made = Made()
    engine = LocalEngine(services.configuration.database_url, knows=made.repository)
    place = Place(configuration, services.store, services.vault, engine, made)
    postgres = PostgresProvider(place)
    engine.backups = services.configuration.backups
    engine.backups.mkdir(exist_ok=True)
    worker = Worker(
        services.store,
        services.vault,
        {data_services.POSTGRES: postgres, data_services.REDIS: RedisProvider(place)},
        Surroundings(configuration.api_url, "local"),
        services.logs,
        services.journal,
        others=(addons.PARTNER, own_services.SCHEDULER),
    )
    return Local(worker, engine, made, Transfers(place, postgres, engine.backups, services.journal))


def clean(services: Services) -> None:
    """Remove what the tests' server has got: databases and roles."""
    url = make_url(services.configuration.database_url).set(drivername="postgresql")
    with psycopg.connect(url.set(database="postgres").render_as_string(False), autocommit=True) as server:
        server.execute("DROP SCHEMA IF EXISTS dynoform CASCADE")
        for (name,) in server.execute("SELECT rolname FROM pg_roles WHERE rolname = 'dynoform_pool'").fetchall():
            server.execute(f"DROP OWNED BY {name}")
    with psycopg.connect(url.render_as_string(False), autocommit=True) as server:
        names = server.execute("SELECT datname FROM pg_database WHERE datname ~ '^d[0-9a-f]{14}$'").fetchall()
        for (name,) in names:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        mine = "^([uo][0-9a-f]{14}|cred_.*|dynoform_pool)$"
        roles = server.execute("SELECT rolname FROM pg_roles WHERE rolname ~ %s ORDER BY 1 DESC", [mine])
        for (name,) in roles.fetchall():
            server.execute(f'DROP ROLE "{name}"')
