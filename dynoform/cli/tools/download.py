"""Official downloads: found out about quickly, checked against the publisher's checksums."""

import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from dynoform.errors import UnavailableError

PROBE_SECONDS = 5
READ_SECONDS = 60
AGENT = {"User-Agent": "dynoform"}


def is_reachable(url: str) -> bool:
    """Whether `url` answers, decided within five seconds."""
    request = urllib.request.Request(url, method="HEAD", headers=AGENT)  # noqa: S310 https, from our own table
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response:  # noqa: S310 as above
            return bool(response.status < 400)
    except (OSError, http.client.HTTPException):
        return False


def text(url: str) -> str:
    """A small text document. Raises `UnavailableError`."""
    try:
        with urllib.request.urlopen(_get(url), timeout=READ_SECONDS) as response:  # noqa: S310 https, from our own table
            content: bytes = response.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(url, f"cannot be read: {error}") from error
    return content.decode()


def checked(url: str, sha256: str, target: Path) -> None:
    """Saves `url` as `target` if its SHA-256 is the expected one; else raises `UnavailableError`."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(_get(url), timeout=READ_SECONDS) as response, target.open("wb") as file:  # noqa: S310
            while block := response.read(1 << 20):
                digest.update(block)
                file.write(block)
    except (OSError, http.client.HTTPException) as error:
        target.unlink(missing_ok=True)
        raise UnavailableError(url, f"download broke off: {error}") from error
    if digest.hexdigest() != sha256:
        target.unlink(missing_ok=True)
        raise UnavailableError(url, f"has SHA-256 {digest.hexdigest()}, not the published {sha256}", "do not use it")


def checksum(listing: str, name: str) -> str | None:
    """The SHA-256 that a ``sha256sum``-like `listing` gives for the file `name`."""
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].lstrip("*") == name:
            return words[0].lower()
    return None


def unpack(archive: Path, target: Path) -> None:
    """Unpacks a gzipped tar into `target`; members that would leave it are refused by tarfile's data filter."""
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")


def copy_tree(source: Path, target: Path) -> None:
    """Copies a directory's files, keeping modes."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _get(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers=AGENT)  # noqa: S310 https, from our own table
