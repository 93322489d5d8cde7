"""Room for what users upload: it ends well before dynos are stopped for want of it."""

import os
from pathlib import Path

from dynoform.domain import disk
from dynoform.errors import UnavailableError


def check(folder: Path, noun: str, verb: str = "upload") -> None:
    """Raises ``UnavailableError`` while the disk that ``folder`` is on takes no uploads, or cannot be looked at.

    ``noun`` is what would come, ``verb`` how it is sent.
    """
    what = f"The {noun}"
    try:
        space = os.statvfs(folder)
    except OSError as error:
        raise UnavailableError(what, "the platform cannot store it", "try again, then tell your operator") from error
    if not disk.takes_uploads(space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize):
        raise UnavailableError(what, "the platform's disk is nearly full", f"tell your operator, then {verb} it again")
