"""What routers read in the store, and what they write there, in SQL: beside each router an agent stays small."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dynoform.configuration import Configuration
from dynoform.domain import eco, features, routes
from dynoform.domain.features import AFFINITY
from dynoform.domain.routes import AppRoute, CustomDomain, RoutedApp, WebDyno
from dynoform.domain.served_certificates import Entry, entries
from dynoform.store import certificate_keys
from dynoform.store.channels import FORMATION
from dynoform.store.driver import Connection

KEPT = timedelta(hours=1)
"""Changes are told for so long."""
LIFETIME = timedelta(seconds=60)
"""A router that says nothing for this long holds nobody up; what one told counts so long after more was due."""
FORGOTTEN = timedelta(days=1)

_MOMENT = "SELECT clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
# Process types come with the first code that is deployed: an app without any is blank.
_APPS = """
    SELECT id, name, maintenance, page_urls, NOT EXISTS (SELECT FROM formations f WHERE f.app_id = a.id)
    FROM apps a WHERE %(apps)s::uuid[] IS NULL OR id = ANY(%(apps)s)
"""
_DYNOS = """
    SELECT id, app_id, number, state, address, port
    FROM dynos WHERE type = %(web)s AND (%(apps)s::uuid[] IS NULL OR app_id = ANY(%(apps)s))
"""
_DOMAINS = "SELECT hostname, app_id FROM domains WHERE %(apps)s::uuid[] IS NULL OR app_id = ANY(%(apps)s)"
_FEATURE = "SELECT app_id FROM app_features WHERE name = %s AND enabled"
_CERTIFICATES = """
    SELECT count(*), max(updated_at) FROM sni_endpoints
    UNION ALL SELECT count(*), max(updated_at) FROM domains
    UNION ALL SELECT count(*), max(updated_at) FROM app_features
    UNION ALL SELECT count(*), max(updated_at) FROM platform_certificates
    UNION ALL SELECT count(*), max(created_at) FROM acme_challenges
"""
_SERVED = """
    SELECT e.id, e.updated_at, d.hostname
    FROM sni_endpoints e JOIN domains d ON d.sni_endpoint_id = e.id WHERE e.sealed_for_routers
"""
_PEMS = "SELECT id, certificate_chain, private_key FROM sni_endpoints WHERE id = ANY(%s) AND sealed_for_routers"
_AWAKE = """
    SELECT DISTINCT d.app_id, a.requested_at
    FROM dynos d LEFT JOIN app_activity a ON a.app_id = d.app_id
    WHERE d.type = %s AND d.size = %s AND d.address IS NOT NULL
"""
# A moment to come is from before the clock was set back: it must not hide what happens now.
_REQUESTED = """
    INSERT INTO app_activity AS known (app_id, requested_at) VALUES (%s, %s) ON CONFLICT (app_id) DO UPDATE
    SET requested_at = greatest(least(known.requested_at, clock_timestamp()), excluded.requested_at)
"""
_LEASE = """
    INSERT INTO leases (name, holder, expires_at) VALUES (%s, %s, %s)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
"""
_FORGET_ROUTERS = """
    DELETE FROM leases WHERE (starts_with(name, %s) OR starts_with(name, %s)) AND expires_at < now() - %s
"""


@dataclass(frozen=True)
class Moment:
    """What a reading is of: every change before ``at`` (the database's clock) is in it."""

    at: datetime
    next: int
    """The next reading of changes has to begin with this transaction: all before it have ended."""


def moment(connection: Connection) -> Moment:
    """Now; what is read after it, in transactions of its own, has all that was there."""
    (row,) = connection.execute(_MOMENT).fetchall()
    return Moment(*row)


def changed(connection: Connection, since: int) -> set[uuid.UUID]:
    """Apps whose routes transactions from ``since`` on changed, apps that are no more too."""
    found = connection.execute("SELECT DISTINCT app_id FROM route_changes WHERE changed >= %s", (since,))
    return {app_id for (app_id,) in found}


def between(connection: Connection, first: uuid.UUID, last: uuid.UUID) -> set[uuid.UUID]:
    """The apps with ids from ``first`` to ``last``, both included."""
    found = connection.execute("SELECT id FROM apps WHERE id BETWEEN %s AND %s", (first, last))
    return {app_id for (app_id,) in found}


def read(connection: Connection, domain: str, apps: Collection[uuid.UUID] | None = None) -> dict[uuid.UUID, AppRoute]:
    """The routes of these apps that are there, None for all; ``domain`` is the platform's."""
    if apps is not None and not apps:
        return {}
    asked = {"apps": None if apps is None else [*apps], "web": routes.WEB}
    sticky = _with_feature(connection, AFFINITY)
    named = connection.execute(_APPS, asked)
    known = [RoutedApp(row[0], row[1], row[2], row[0] in sticky, tuple(row[3].items()), row[4]) for row in named]
    dynos = [WebDyno(*row) for row in connection.execute(_DYNOS, asked)]
    domains = [CustomDomain(*row) for row in connection.execute(_DOMAINS, asked)]
    return {**routes.compute(known, dynos, domain, domains).apps}


def forget_changes(connection: Connection) -> None:
    """Remove changes of routes that have been told."""
    connection.execute("DELETE FROM route_changes WHERE noted_at < now() - %s", (KEPT,))


def certificates(connection: Connection) -> tuple[object, ...]:
    """What is another when something of certificates or answers may have changed; one short query."""
    return tuple(connection.execute(_CERTIFICATES).fetchall())


def served(connection: Connection) -> list[Entry]:
    """What routers show, for all apps: each certificate that a domain uses, for those domains."""
    found = connection.execute(_SERVED)
    return entries((str(identifier), updated_at.isoformat(), hostname) for identifier, updated_at, hostname in found)


def pems(connection: Connection, configuration: Configuration, sources: Collection[str]) -> dict[str, str]:
    """Of these SNI endpoints: chain and key as a server reads them. One that has just gone is left out."""
    if not sources:
        return {}
    sealer = certificate_keys.vault(configuration)
    found = connection.execute(_PEMS, ([uuid.UUID(source) for source in sources],))
    return {str(owner): certificate_keys.pem(sealer, owner, chain, key) for owner, chain, key in found}


def platform_pem(connection: Connection, configuration: Configuration, name: str) -> str | None:
    """The platform's own certificate of this name, as a server reads it; None when there is none."""
    query = "SELECT chain, private_key FROM platform_certificates WHERE name = %s"
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        return None
    return certificate_keys.pem(certificate_keys.vault(configuration), certificate_keys.PLATFORM, *row)


def answers(connection: Connection) -> dict[str, str]:
    """What routers say of their own: path → answer to an authority, app id → its Strict-Transport-Security."""
    challenges = connection.execute("SELECT token, key_authorization FROM acme_challenges")
    found = {f"/.well-known/acme-challenge/{token}": answer for token, answer in challenges}
    apps = _with_feature(connection, features.STRICT_TRANSPORT_SECURITY)
    return found | {str(app_id): features.STRICT_TRANSPORT_SECURITY_HEADER for app_id in apps}


def awake(connection: Connection) -> dict[uuid.UUID, datetime | None]:
    """Apps with a dyno that takes traffic and may sleep, with their last known request."""
    return dict(connection.execute(_AWAKE, (routes.WEB, eco.ECO)).fetchall())


def requested(connection: Connection, moments: Mapping[uuid.UUID, datetime]) -> None:
    """Remember when these apps had a request; what is later already stays.

    Raises ``ConflictError``, from the transaction, for an app that has gone.
    """
    if moments:
        connection.cursor().executemany(_REQUESTED, sorted(moments.items()))


def wake(connection: Connection, app_id: uuid.UUID) -> None:
    """A request waits for this app: have its dynos started. Raises as ``requested`` does."""
    requested(connection, {app_id: moment(connection).at})
    connection.execute("SELECT pg_notify(%s, %s)", (FORMATION, str(app_id)))


def told(connection: Connection, router: str, until: datetime, every: timedelta) -> None:
    """Say that ``router`` has told of all requests before ``until``, and does so once in ``every``."""
    connection.execute(_LEASE, (f"{eco.TRAFFIC}{router}", until.isoformat(), until + every + LIFETIME))


def announce(connection: Connection, router: str, routed: datetime) -> None:
    """Say that ``router`` serves the routes as they were at ``routed`` (the database's clock).

    So no dyno is stopped while requests go to it.
    """
    connection.execute(_LEASE, (f"{routes.PRESENCE}{router}", routed.isoformat(), routed + LIFETIME))


def forget_routers(connection: Connection) -> None:
    """Remove routers that have been gone for a day."""
    connection.execute(_FORGET_ROUTERS, (routes.PRESENCE, eco.TRAFFIC, FORGOTTEN))


def _with_feature(connection: Connection, name: str) -> set[uuid.UUID]:
    """The apps that turned this feature on, which is off for who never chose."""
    return {app_id for (app_id,) in connection.execute(_FEATURE, (name,))}
