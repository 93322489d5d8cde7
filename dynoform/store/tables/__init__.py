"""Tables of the platform's store, one class per Heroku resource.

Names are the Platform API's (https://devcenter.heroku.com/articles/platform-api-reference). Ids are UUIDs made here,
times are UTC.
Secrets are stored as hashes (tokens) or encrypted (config vars): see ``dynoform.store.secrets``.
"""

from dynoform.store.tables.access import AppTransfer, Collaborator
from dynoform.store.tables.accounts import Account, Authorization, Key, OAuthClient
from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified, now
from dynoform.store.tables.builds import Build, BuildOutput, Slug, Source
from dynoform.store.tables.features import AccountFeature, AppFeature
from dynoform.store.tables.formation import Dyno, Formation
from dynoform.store.tables.hosts import Host
from dynoform.store.tables.leases import Lease
from dynoform.store.tables.one_off_dynos import OneOffDyno
from dynoform.store.tables.releases import Config, Release, ReleaseOutput
from dynoform.store.tables.teams import Team, TeamInvitation, TeamMember

__all__ = [
    "Account",
    "AccountFeature",
    "App",
    "AppFeature",
    "AppTransfer",
    "Authorization",
    "Base",
    "Build",
    "BuildOutput",
    "Collaborator",
    "Config",
    "Dyno",
    "Formation",
    "Host",
    "Identified",
    "Key",
    "Lease",
    "OAuthClient",
    "OneOffDyno",
    "Release",
    "ReleaseOutput",
    "Slug",
    "Source",
    "Team",
    "TeamInvitation",
    "TeamMember",
    "now",
]
