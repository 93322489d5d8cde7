"""Tables of the platform's store, one class per Heroku resource.

Names are the Platform API's (https://devcenter.heroku.com/articles/platform-api-reference). Ids are UUIDs made here,
times are UTC.
Secrets are stored as hashes (tokens) or encrypted (config vars): see ``dynoform.store.secrets``.
"""

from dynoform.store.tables.accounts import Account, Authorization
from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified, now
from dynoform.store.tables.builds import Build, BuildOutput, Slug, Source
from dynoform.store.tables.formation import Dyno, Formation
from dynoform.store.tables.hosts import Host
from dynoform.store.tables.leases import Lease
from dynoform.store.tables.one_off_dynos import OneOffDyno
from dynoform.store.tables.releases import Config, Release, ReleaseOutput

__all__ = [
    "Account",
    "App",
    "Authorization",
    "Base",
    "Build",
    "BuildOutput",
    "Config",
    "Dyno",
    "Formation",
    "Host",
    "Identified",
    "Lease",
    "OneOffDyno",
    "Release",
    "ReleaseOutput",
    "Slug",
    "Source",
    "now",
]
