"""Credentials for the registry of an image, in the forms that the engine takes."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from docker import auth

from .configuration import RegistryAuth

DOCKER_HUB: Final = "docker.io"


def registry_of(image: str) -> str:
    """``registry:5000/a/b:1`` → ``registry:5000``; images without a host are Docker Hub's."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else DOCKER_HUB


def credentials(
    image: str, registries: tuple[RegistryAuth, ...], own: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """User, password and address for an image's registry; empty where nobody is known.

    Parameters:
        registries: the provider's.
        own: the resource's ``auth`` block, which goes first.
    """
    if own:
        return {
            "username": own.get("username") or "",
            "password": own.get("password") or "",
            "serveraddress": own.get("serverAddress") or "",
        }
    registry = registry_of(image)
    entry = next((each for each in registries if _host(each.address) == registry), None)
    if entry is None or not (entry.config_text or entry.config_file):
        return _named(entry) if entry is not None and not entry.disabled else {}
    text = json.loads(entry.config_text) if entry.config_text else None
    known = auth.load_config(entry.config_file or None, text)
    found = known.resolve_authconfig(registry) or {}
    return {
        "username": found.get("Username") or found.get("username") or "",
        "password": found.get("Password") or found.get("password") or "",
        "serveraddress": registry,
    }


def auth_header(found: Mapping[str, str]) -> dict[str, str]:
    """The header ``X-Registry-Auth``, or none."""
    if not found:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(dict(found)).encode()).decode()}


def _named(entry: RegistryAuth) -> dict[str, str]:
    return {"username": entry.username, "password": entry.password, "serveraddress": entry.address}


def _host(address: str) -> str:
    return address.split("://", 1)[-1].rstrip("/").split("/", 1)[0]
