"""Rules of durable work: which kinds there are, how long a lease lasts, how often a job is tried."""

from enum import StrEnum

ATTEMPTS = 2
"""How often a job is begun when workers die under it."""
LEASE_SECONDS = 20
RENEW_SECONDS = 5
LOST_SECONDS = 60
"""How long after its lease a host's builders are expected to go on with what has begun there, before another host's
builder gives it up.
"""
NEAR_SECONDS = 2
"""How long an app's build waits for the host that has its cache."""


class Kind(StrEnum):
    """What a job does."""

    BUILD = "build"
    RELEASE = "release"
    """Runs a release's command, then makes the release current."""
    EXPIRE_SLUGS = "expire-slugs"
    SLUG = "slug"
    """Makes an image of a slug that was uploaded."""
    SETUP = "setup"
    """Makes of an app what its source's app.json says."""
    PURGE_CACHE = "purge-cache"
    RELAY = "relay"
    """Lays an app's slugs on the newest stack image."""
