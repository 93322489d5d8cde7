"""Writing an upload to disk so that a whole file appears or none."""

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from dynoform.api import room
from dynoform.api.errors import ApiError
from dynoform.domain import uploads
from dynoform.errors import InvalidInputError, UnavailableError

MAXIMUM_BYTES = 1024**3
"""Heroku's limit for a checkout; a tarball of more cannot be one of less."""
_CHUNK = 1024 * 1024
_PARTIAL = ".part"
_PARTIAL_SECONDS = 2 * 3600


class Upload:
    """One file on its way: written beside its final name, moved there by ``keep``."""

    def __init__(self, folder: Path, name: str, noun: str = "source") -> None:
        """Open a partial file in ``folder``; ``name`` is the final one, ``noun`` what it is.

        Raises ``UnavailableError`` when it cannot, or while the disk is nearly full.
        """
        room.check(folder, noun)
        self.noun = noun
        self.path = folder / name
        self.size = 0
        self._partial = folder / f"{name}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
        self._digest = hashlib.sha256()
        try:
            self._file = self._partial.open("xb")
        except OSError as error:
            raise _cannot_store(error, self.noun) from error

    @property
    def checksum(self) -> str:
        """SHA-256 of what was written, as Heroku writes it: ``SHA256:…`` in hexadecimal."""
        return f"SHA256:{self._digest.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Append. Raises ``ApiError`` 413 over the limit, ``UnavailableError`` while the disk is nearly full."""
        self.size += len(data)
        if self.size > MAXIMUM_BYTES:
            raise too_large(self.noun)
        room.check(self.path.parent, self.noun)
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _cannot_store(error, self.noun) from error

    def keep(self) -> None:
        """Put the whole file in its place, safely on disk. Raises ``InvalidInputError`` when it is empty."""
        if self.size == 0:
            raise InvalidInputError(f"The {self.noun} is empty: send the tarball as the request's body.")
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._partial.replace(self.path)
        except OSError as error:
            raise _cannot_store(error, self.noun) from error

    def discard(self) -> None:
        """Close, and remove the partial file if it was not kept. Can be called at any time, again too."""
        try:
            self._file.close()
        except OSError:
            pass  # a full disk may refuse the last bytes of a file that is removed anyway
        finally:
            self._partial.unlink(missing_ok=True)


def sweep(folder: Path, moment: float | None = None) -> list[str]:
    """Remove partial uploads over 2 hours and sources over a day old, at ``moment`` (seconds); returns their names."""
    present = time.time() if moment is None else moment
    removed = []
    for path in folder.iterdir():
        limit = _PARTIAL_SECONDS if path.suffix == _PARTIAL else uploads.KEPT.total_seconds()
        if path.is_file() and present - path.stat().st_mtime > limit:
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def too_large(noun: str) -> ApiError:
    """413, and the end of the connection: what is still to come is not read."""
    message = f"{noun.capitalize()}s are limited to {MAXIMUM_BYTES} bytes."
    return ApiError(413, "request_too_large", message, {"Connection": "close"})


async def receive(request: Request, folder: Path, name: str, noun: str, finish: Callable[[Upload], None]) -> bool:
    """Write a request's body down; ``finish`` keeps it, or raises. False when the client has hung up."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAXIMUM_BYTES:
        raise too_large(noun)
    upload = await run_in_threadpool(Upload, folder, name, noun)
    try:
        pending = bytearray()
        async for chunk in request.stream():
            pending += chunk
            if len(pending) >= _CHUNK:
                await run_in_threadpool(upload.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(upload.write, bytes(pending))
        await run_in_threadpool(finish, upload)
    except ClientDisconnect:
        return False
    finally:
        await run_in_threadpool(upload.discard)
    return True


def _cannot_store(error: OSError, noun: str) -> UnavailableError:
    what = f"The {noun}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(what, "the platform's disk is full", "tell your operator, then upload it again")
    return UnavailableError(what, "the platform cannot store it", "try again, then tell your operator")
