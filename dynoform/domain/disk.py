"""Dynos' disks: all of a host's are one, and a dyno that fills it takes it from every other and from the platform.

Few file systems can hold a container to a part of the disk (overlay2 on XFS with project quotas). So this goes for all:
while a host has little left, the dyno that has written most is stopped. Its next start has an empty disk, as on Heroku.
A build that was there while the room went is ended, before any dyno is. The platform takes no uploads well before that.
"""

from collections.abc import Mapping

_GIB = 1 << 30
ALLOWANCE = _GIB
"""Bytes that a dyno may have written and never be stopped for it."""
FILES = 50_000
"""Files that a build may have made and never be ended for them."""
_LEAST = _GIB
_SHARE = 0.05
_FOR_UPLOADS = 2
"""How many times what is short has to be left for uploads."""


def is_short(free: int, total: int) -> bool:
    """Whether a disk of ``total`` bytes has so little left that room has to be made."""
    return free < max(_LEAST, int(total * _SHARE))


def takes_uploads(free: int, total: int) -> bool:
    """Whether a disk of ``total`` bytes has so much left that users may add to it: no dyno is stopped for an upload."""
    return not is_short(free // _FOR_UPLOADS, total)


def is_filled_by_build(before: int, free: int, total: int) -> bool:
    """Whether a build has to end, with ``before`` bytes free when it began and ``free`` now.

    What others wrote meanwhile counts too: a build can be tried again, and a dyno serves.
    """
    return is_short(free, total) and before - free > ALLOWANCE


def is_filled_by_files(before: int, free: int, total: int) -> bool:
    """As ``is_filled_by_build``, in files: empty ones take no room, and a file system may have only so many.

    ``total`` is 0 for one that makes room for more.
    """
    return free < int(total * _SHARE) and before - free > FILES


def to_stop(written: Mapping[str, int]) -> str | None:
    """Which container, of those with the bytes that each has ``written``; None when none has much."""
    largest = max(written, key=lambda container: (written[container], container), default=None)
    return largest if largest is not None and written[largest] > ALLOWANCE else None
