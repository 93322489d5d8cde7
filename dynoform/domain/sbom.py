"""Bills of materials of the stack's images, as ``images/stack-13/sbom`` writes them (CycloneDX 1.6)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from dynoform.errors import InvalidInputError

FILE = "/opt/dynoform/sbom.json"
"""Where an image has its own."""
MOST_BYTES = 8 * 1024 * 1024
_DIGITS = 12
_DEBIAN = "pkg:deb/"


@dataclass(frozen=True)
class Package:
    """A Debian package in an image; ``source`` is the source package that it was built from."""

    name: str
    version: str
    source: str


def version(text: str) -> str:
    """What tells an image from another with something else in it: the beginning of its bill's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def read(text: str) -> Mapping[str, Any]:
    """The document. Raises ``InvalidInputError`` for what is none."""
    try:
        found = json.loads(text)
        if found["bomFormat"] == "CycloneDX" and isinstance(found["components"], list):
            return dict(found)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InvalidInputError("bill of materials", "is no CycloneDX document", "build the stack image again")


def packages(document: Mapping[str, Any]) -> list[Package]:
    """Its Debian packages, by name."""
    found = [_package(each) for each in document["components"] if str(each.get("purl", "")).startswith(_DEBIAN)]
    return sorted(found, key=lambda package: package.name)


def _package(component: Mapping[str, Any]) -> Package:
    qualifiers = parse_qs(urlsplit(component["purl"]).query)
    upstream = unquote(qualifiers.get("upstream", [component["name"]])[0])
    return Package(component["name"], component["version"], upstream.partition("@")[0])
