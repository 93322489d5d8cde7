"""Databases as add-ons: plans, names, addresses, and what the data API shows of them. Pure.

Plans are Heroku's (https://devcenter.heroku.com/articles/heroku-postgres-plans and
https://devcenter.heroku.com/articles/heroku-redis#plans), as far as what they promise is there.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from dynoform.errors import ConflictError, InvalidInputError

POSTGRES = "heroku-postgresql"
REDIS = "heroku-redis"
KAFKA = "heroku-kafka"
NAMES = frozenset({POSTGRES, REDIS, KAFKA})
"""The services whose add-ons are databases of the platform's own; also their providers' names."""

POSTGRES_VERSION = "17"
"""Its major version."""
POSTGRES_PORT = 5432
"""Inside a server's own container."""
SERVERS, VOTERS = 2, 3
"""What a database with a standby has: the two servers, and the members of etcd that know which of them is primary."""
FIRST_PORT, LAST_PORT = 15000, 15999
"""Where add-ons are reached, on the address that dynos and the operator's machine know alike; one port for each."""
PORT_LABEL = "dynoform.port"
"""On services of the host's own network: the port that they have there, which the engine does not know of."""

ROTATE = "rotate"
RESET = "reset"
KILL_ALL = "kill_all"
INSPECT = "inspect"
CONFIGURE = "configure"
MAINTAIN = "maintain"
FAIL = "fail"
PROTECT = "protect"
RESET_STATISTICS = "reset_statistics"
FOLLOW = "follow"
UNFOLLOW = "unfollow"
CREATE_CREDENTIAL = "create_credential"
DESTROY_CREDENTIAL = "destroy_credential"
REPAIR = "repair"
POOL = "pool"
LINK = "link"
UNLINK = "unlink"
DIAGNOSE = "diagnose"
HAND_OVER = "hand_over"
OPERATIONS = (
    ROTATE, RESET, KILL_ALL, INSPECT, CONFIGURE, MAINTAIN, FAIL, PROTECT, RESET_STATISTICS, FOLLOW, UNFOLLOW,
    CREATE_CREDENTIAL, DESTROY_CREDENTIAL, REPAIR, POOL, LINK, UNLINK, DIAGNOSE,
    HAND_OVER,
)  # fmt: skip
"""What can be done to a database besides making, changing and destroying it."""
LOOKS = (INSPECT, DIAGNOSE)
"""Those that change nothing, and that somebody waits for."""
DUE = {"due": True}
"""Details of a maintenance that brings the server up to date, whatever else there is to do."""

GRACE = timedelta(minutes=30)
"""How long the old credential still works after a rotation (https://devcenter.heroku.com/articles/heroku-postgresql-credentials)."""
HAND_OVER_EVERY = timedelta(seconds=5)
"""How often a database with a server on a drained host looks whether its standby is to take over."""
LOST_AGAIN = timedelta(minutes=10)
"""After which time a database is brought back once more that was lost, where that came to nothing."""
MAINTAINED_EVERY = timedelta(days=30)
"""How often a database gets what is new: its image, its certificate when that ends within a third of its life."""
DEFAULT = "default"
"""The credential that an add-on's own attachments have."""

MIB = 1024 * 1024
GIB = 1024 * MIB
_RESERVED = 8
"""Connections besides a plan's: the superuser's, background workers', ours."""
_TRUSTED = """
btree_gin btree_gist citext cube dict_int fuzzystrmatch hstore intarray isn lo ltree pg_trgm pgcrypto plpgsql seg
tablefunc tcn tsm_system_rows tsm_system_time unaccent uuid-ossp
"""
_TRUSTED_HERE = """
autoinc bloom dict_xsyn insert_username intagg moddatetime pg_stat_statements pgrowlocks refint vector
"""
EXTENSIONS = tuple(sorted(f"{_TRUSTED} {_TRUSTED_HERE}".split()))
"""Those that a database's owner may create: PostgreSQL trusts them (https://www.postgresql.org/docs/17/contrib.html).

Or its image does, ``images/postgres/Dockerfile``: what they show and do is within one user's server.
"""

POLICIES = {
    "noeviction": "Return errors when memory limit is reached",
    "allkeys-lru": "Removes least recently used keys first",
    "volatile-lru": "Removes least recently used keys first that have an expiry set",
    "allkeys-lfu": "Removes least frequently used keys first",
    "volatile-lfu": "Removes least frequently used keys first that have an expiry set",
    "allkeys-random": "Evicts keys at random",
    "volatile-random": "Evicts keys at random that have an expiry set",
    "volatile-ttl": "Removes keys with an expiry set, with a shorter time to live first",
}
"""What a Redis does when its memory is full (https://devcenter.heroku.com/articles/heroku-redis#maxmemory-policy)."""
REDIS_VERSION = "8"
"""What the image has."""


@dataclass(frozen=True)
class DataPlan:
    """A plan of a database.

    Parameters:
        name: without the service, ``essential-0``.
        memory_mib: limit of its container.
        connections: how many clients may be connected.
        disk_bytes: how much data may be in it; see ``data_limits`` for what is done about more.
        cache_mib: PostgreSQL's shared buffers, or the memory that Redis keeps data in.
        members: how many servers have the data, so that one of them may be lost.
    """

    name: str
    human_name: str
    description: str
    memory_mib: int
    connections: int
    disk_bytes: int
    cache_mib: int
    members: int = 1

    @property
    def is_essential(self) -> bool:
        """Whether it is of PostgreSQL's smallest kind, which has less of everything."""
        return self.name.startswith("essential")

    @property
    def has_standby(self) -> bool:
        """Whether a server is ready to take over from another one."""
        return self.members > 1

    @property
    def maximum_connections(self) -> int:
        """What the server has to take, with its own."""
        return self.connections + _RESERVED


PLANS: Mapping[str, tuple[DataPlan, ...]] = {
    POSTGRES: (
        DataPlan("essential-0", "Essential 0", "PostgreSQL 17, 1 GB, 20 connections", 256, 20, GIB, 32),
        DataPlan("essential-1", "Essential 1", "PostgreSQL 17, 10 GB, 20 connections", 384, 20, 10 * GIB, 64),
        DataPlan("essential-2", "Essential 2", "PostgreSQL 17, 32 GB, 40 connections", 512, 40, 32 * GIB, 128),
        DataPlan("standard-0", "Standard 0", "PostgreSQL 17, 64 GB, 120 connections", 1024, 120, 64 * GIB, 256),
        DataPlan(
            "premium-0", "Premium 0", "PostgreSQL 17, 64 GB, 120 connections, a standby", 1024, 120, 64 * GIB, 256,
            members=SERVERS,
        ),
    ),
    REDIS: (
        DataPlan("mini", "Mini", "Valkey 8, 25 MB, 20 connections", 64, 20, 25 * MIB, 25),
        *(
            DataPlan(
                f"premium-{number}", f"Premium {number}", f"Valkey 8, {megabytes} MB, {clients:,} connections, HA",
                96 + 2 * megabytes, clients, megabytes * MIB, megabytes, members=3,
            )
            for number, megabytes, clients in (
                (0, 50, 40), (1, 100, 80), (2, 250, 200), (3, 500, 400), (4, 750, 700), (5, 1024, 1000),
            )
        ),
    ),
}  # fmt: skip
"""Service → its plans, the default first."""


@dataclass(frozen=True)
class Access:
    """What a client of a database needs. ``user`` is empty for Redis, whose clients say a password alone."""

    host: str
    port: int
    user: str
    password: str
    database: str = ""

    def __repr__(self) -> str:
        """Without the password."""
        return f"Access({self.user}@{self.host}:{self.port}/{self.database})"

    @property
    def postgres_url(self) -> str:
        """``postgres://…``: the CLI takes no other scheme."""
        return f"postgres://{quote(self.user)}:{quote(self.password)}@{self.host}:{self.port}/{quote(self.database)}"

    @property
    def redis_url(self) -> str:
        """``rediss://…``, with the TLS that the second s stands for."""
        return f"rediss://:{quote(self.password)}@{self.host}:{self.port}"


def plan(service: str, name: str) -> DataPlan:
    """The plan of a service. Raises ``InvalidInputError`` for one that is not offered."""
    for each in PLANS[service]:
        if each.name == name:
            return each
    raise InvalidInputError(f"The plan {service}:{name} is no longer available")


def one_by_one(present: Sequence[str], image: str) -> list[list[str]]:
    """The images that servers of one group have in turn, until all have this ``image``.

    ``present`` are those that they have, empty where there is no such server. A new group begins as a whole; those that
    run get another image one after the other, in the order of their numbers.
    """
    count = len(present)
    numbers = [number for number in range(1, count) if all(present) and present[number - 1] != image]
    return [[image] * number + list(present[number:]) for number in [*numbers, count]]


def pool_size(wanted: DataPlan) -> int:
    """Connections that a pool may have to its server: three quarters of the plan's, as with Heroku.

    https://devcenter.heroku.com/articles/postgres-connection-pooling
    """
    return wanted.connections * 3 // 4


def free_port(taken: Collection[int]) -> int:
    """The first port that no add-on has. Raises ``ConflictError`` when all are taken."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if port not in taken:
            return port
    count = LAST_PORT - FIRST_PORT + 1
    raise ConflictError("databases", f"all {count} ports for them are in use", "destroy one that nobody needs")


def new_name(letter: str) -> str:
    """A name for a database (d), a user (u) or an owner (o) that nobody guesses, as Heroku makes them."""
    return letter + secrets.token_hex(7)


def new_password() -> str:
    """A password that needs no quoting anywhere."""
    return "p" + secrets.token_hex(32)


def salt(user: str) -> bytes:
    """The same for a user each time, so that what a server keeps of a password does not change with each look at it."""
    return hashlib.sha256(user.encode()).digest()[:16]


def scram(password: str, salt: bytes | None = None, rounds: int = 4096) -> str:
    """What PostgreSQL keeps of a password, so that the password itself is in no statement and no log.

    https://www.postgresql.org/docs/17/catalog-pg-authid.html, RFC 5803. ``password`` is ASCII.
    """
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{shown[0]}${shown[1]}:{shown[2]}"


def size(count: int) -> str:
    """Bytes as people read them: ``7.9 MB``."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1024 or unit == "GB":
            break
        value /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def check_settings(given: Mapping[str, object]) -> dict[str, str]:
    """Redis' own settings from those of Heroku's data API. Raises ``InvalidInputError`` for what cannot be."""
    found: dict[str, str] = {}
    for name, value in given.items():
        if name == "maxmemory_policy":
            if value not in POLICIES:
                raise InvalidInputError(f"maxmemory_policy must be one of: {', '.join(POLICIES)}")
            found["maxmemory-policy"] = str(value)
        elif name == "timeout":
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 86400:
                raise InvalidInputError("timeout must be a number of seconds from 0 to 86400")
            found["timeout"] = str(value)
        elif name == "notify_keyspace_events":
            if not isinstance(value, str) or set(value) - set("KEg$lshzxetdmnA"):
                raise InvalidInputError(
                    "notify_keyspace_events may have the letters K, E, g, $, l, s, h, z, x, e, t, d, m, n and A"
                )
            found["notify-keyspace-events"] = value
        else:
            raise InvalidInputError(f"{name[:40]} is no setting of {REDIS}")
    if not found:
        raise InvalidInputError("Name at least one setting: maxmemory_policy, timeout, notify_keyspace_events")
    return found
