"""Uploaded tarballs, sources and slugs: how long and how many are kept, and how builders on other hosts get them."""

from datetime import timedelta

from dynoform.errors import InvalidInputError

PURPOSE = "fetch upload"
"""What the token of such a link is for."""
SECONDS = 600
"""How long a link may be followed."""
KEPT = timedelta(days=1)
"""How long an upload is kept that nothing was made of."""
KEPT_BUILT = timedelta(hours=1)
"""How long a source is kept after its builds: others may be made of it while its links are valid, which is as long."""
_MIB = 1 << 20
ACCOUNT_BYTES = 10 * 1024 * _MIB
"""What an account's kept sources may have together."""


def path(identifier: object) -> str:
    """Where the API has one."""
    return f"/uploads/{identifier}"


def check_room(kept: int, size: int) -> None:
    """Raises ``InvalidInputError`` unless a source of ``size`` bytes may join an account's that have ``kept``."""
    if kept + size > ACCOUNT_BYTES:
        raise InvalidInputError(
            f"Your sources are limited to {ACCOUNT_BYTES // _MIB} MB together, and {kept // _MIB} MB are kept. One is "
            "kept until an hour after its builds, or for a day: build them or wait, then upload this one again"
        )
