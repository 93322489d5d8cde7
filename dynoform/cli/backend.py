"""The backend that keeps a stack's state: its address, which may carry a password, and moving to another one."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from dynoform.errors import InvalidInputError

SCHEMES = ("file", "s3", "postgres", "gs", "azblob")
"""Those that Pulumi keeps state in by itself; for any other it wants a login at a service."""
HIDDEN = "…"
PARAMETERS = re.compile(r"(?i)([?&](?:password|pass|pwd|sslpassword)=)[^&\s]+")
CREDENTIALS = re.compile(r"//([^:/@\s]*):[^@/\s]+@")


def check(url: str) -> str:
    """`url` itself; raises `InvalidInputError` for one that Pulumi would not take as a backend."""
    scheme, found, _ = url.partition("://")
    if not found or scheme not in SCHEMES:
        why = "is no backend that can keep state"
        raise InvalidInputError(f"--backend {masked(url, url)}", why, "give a file://, s3:// or postgres:// address")
    return url


def masked(text: str, url: str) -> str:
    """`text` without the passwords that the backend's `url` carries, in whatever form they are in it."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return PARAMETERS.sub(rf"\g<1>{HIDDEN}", CREDENTIALS.sub(rf"//\1:{HIDDEN}@", text))


def _secrets(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
        found = {parts.password or "", *(v for name, v in parse_qsl(parts.query) if "pass" in name.lower())}
    except ValueError:
        return set()
    return {form for secret in found if secret for form in (secret, unquote(secret))}


def remembered(directory: Path) -> str | None:
    """The backend that a stack had the last time, None for the one that all have by default."""
    file = directory / "backend"
    return file.read_text(encoding="utf-8").strip() if file.exists() else None


def remember(directory: Path, url: str) -> None:
    """Writes it down, readable by its owner alone."""
    fresh = directory / f".backend.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(url + "\n")
    fresh.replace(directory / "backend")
