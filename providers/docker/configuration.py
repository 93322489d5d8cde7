"""The provider's own settings: which engine, and who one is at which registry. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SERVED: Final = frozenset({"host", "registryAuth", "disableDockerDaemonCheck", "sshOpts"})
REFUSED: Final = frozenset({"caMaterial", "certMaterial", "certPath", "context", "keyMaterial"})
"""Settings of the SDK that are not served."""
ENGINE_OWN: Final = frozenset({"version", "pluginDownloadURL", "parameterization"})
"""Settings that Pulumi itself adds."""

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class RegistryAuth:
    """Who one is at a registry.

    Parameters:
        address: the registry, with or without ``https://``.
        config_file: path of a Docker ``config.json`` to take it from instead.
        config_text: contents of such a file; before username and password.
        disabled: the registry asks for nobody.
    """

    address: str
    username: str = ""
    password: str = field(default="", repr=False)
    config_file: str = ""
    config_text: str = field(default="", repr=False)
    disabled: bool = False


@dataclass(frozen=True)
class Configuration:
    """Settings of one provider.

    Parameters:
        host: engine's address: ``unix://``, ``tcp://`` or ``ssh://``.
        registries: see ``RegistryAuth``.
        ping: whether the engine is asked for its version before the first use.
        ssh_options: words for ``ssh``, where the host is reached by it.
    """

    host: str = DEFAULT_HOST
    registries: tuple[RegistryAuth, ...] = ()
    ping: bool = True
    ssh_options: tuple[str, ...] = ()


def refusals(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of settings, one line each."""
    found = []
    for name in settings:
        if name in REFUSED:
            found.append(
                f"docker:{name}: is not served by this docker plugin — "
                "give 'host' (unix://, tcp:// or ssh://) instead, or use the official plugin"
            )
        elif name not in SERVED | ENGINE_OWN and not name.startswith("__"):
            known = ", ".join(sorted(SERVED))
            found.append(f"`docker:{name}` is not a valid configuration key for the docker provider. It knows {known}.")
    return found


def configuration(settings: Mapping[str, Any], environment: Mapping[str, str]) -> Configuration:
    """Reads settings as the engine sends them: what is not text comes as JSON text."""
    host = settings.get("host") or environment.get("DOCKER_HOST") or DEFAULT_HOST
    entries = _decoded(settings.get("registryAuth")) or []
    return Configuration(
        host=str(host),
        registries=tuple(_registry(entry, environment) for entry in entries),
        ping=not _decoded(settings.get("disableDockerDaemonCheck")),
        ssh_options=tuple(str(word) for word in _decoded(settings.get("sshOpts")) or ()),
    )


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


def _registry(entry: Mapping[str, Any], environment: Mapping[str, str]) -> RegistryAuth:
    return RegistryAuth(
        address=str(entry.get("address", "")),
        username=entry.get("username") or environment.get("DOCKER_REGISTRY_USER", ""),
        password=entry.get("password") or environment.get("DOCKER_REGISTRY_PASS", ""),
        config_file=entry.get("configFile") or "",
        config_text=entry.get("configFileContent") or "",
        disabled=bool(entry.get("authDisabled")),
    )
