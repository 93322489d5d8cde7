"""Names of apps: Heroku's rule, Heroku's messages, Heroku-like names for apps that come without one."""

import random
import re

from dynoform.errors import InvalidInputError

MINIMUM_LENGTH = 3
MAXIMUM_LENGTH = 30
RESERVED = frozenset(
    {
        "api",
        "dashboard",
        "data",
        "git",
        "localhost",
        "logs",
        "metrics",
        "platform",
        "registry",
        "rendezvous",
        "router",
        "www",
    }
)
"""Host names under the platform's domain that are its own."""

_NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
_ADJECTIVES = """
aged ancient arcane autumn blooming bold brave calm cold cool crimson damp dark dawn dry early evening fast fierce
floating frosty gentle glacial guarded hidden hollow icy immense intense lit lively lonely long mighty misty morning
mysterious nameless old pacific polar powerful protected pure quiet rocky rough safe salty secure serene sharp
sheltered shielded shrouded silent sleepy snowy sparkling spring stark still stormy summer tranquil twilight vast
wandering warm whispering wild winter
"""
_NOUNS = """
anchorage badlands basin bastion bayou beach bluff brook brushlands canyon castle cliff coast cove crag dawn depths
dusk escarpment everglades falls fjord forest fortress garden gorge grove harbor headland hollows inlet island
journey lake meadow mesa mountain oasis peak plains plateau pond reef refuge retreat ridge river sands savannah sea
shelf shore spire springs stream summit taiga temple thicket tor tundra valley waters wave woodland
"""


def check(name: str) -> str:
    """The name itself, or ``InvalidInputError`` in Heroku's words when no app can have it."""
    if len(name) < MINIMUM_LENGTH:
        raise InvalidInputError(f"Name is too short (minimum is {MINIMUM_LENGTH} characters)")
    if len(name) > MAXIMUM_LENGTH:
        raise InvalidInputError(f"Name is too long (maximum is {MAXIMUM_LENGTH} characters)")
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "Name must start with a letter, end with a letter or digit and can only contain "
            "lowercase letters, digits, and dashes"
        )
    if name in RESERVED:
        raise taken(name)
    return name


def taken(name: str) -> InvalidInputError:
    """The error for a name that somebody has; the same for the platform's own, so as to tell nothing."""
    return InvalidInputError(f"Name {name} is already taken")


def generate(source: random.Random | None = None) -> str:
    """A name such as ``quiet-harbor-48213``, for an app that was created without one."""
    chosen = source or random.SystemRandom()
    return f"{chosen.choice(_ADJECTIVES.split())}-{chosen.choice(_NOUNS.split())}-{chosen.randrange(10_000, 100_000)}"
