"""Builds an image through the engine's own builder; the context goes as a stream, ``.dockerignore`` is heeded."""

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from .engine import Engine
from .errors import EngineError, OperationError
from .image_reference import repository, with_tag
from .operation import Operation
from .properties import Property, block, boolean, mapping, refused, string, strings

LAST_LINES: Final = 20
"""Lines of the build's output that its error shows."""

NOT_SERVED: Final = (
    "additionalContexts",
    "authConfigs",
    "buildId",
    "buildLogFile",
    "builder",
    "cacheFroms",
    "cacheTos",
    "cgroupParent",
    "cpuPeriod",
    "cpuQuota",
    "cpuSetCpus",
    "cpuSetMems",
    "cpuShares",
    "isolation",
    "memory",
    "memorySwap",
    "provenance",
    "remoteContext",
    "sbom",
    "secrets",
    "securityOpts",
    "sessionId",
    "shmSize",
    "squash",
    "suppressOutput",
    "ulimits",
    "version",
)
"""Of RemoteImage.build: what needs BuildKit, and what nobody here needs."""

REASON: Final = "images are built by the engine's classic builder; use the official plugin, or leave it out"

BUILD: Final[Property] = block(
    {
        "context": string(required=True),
        "buildArgs": mapping(),
        "dockerfile": string(default="Dockerfile"),
        "extraHosts": strings(),
        "forceRemove": boolean(),
        "label": mapping(),
        "labels": mapping(),
        "networkMode": string(),
        "noCache": boolean(),
        "platform": string(),
        "pullParent": boolean(),
        "remove": boolean(default=True),
        "tags": strings(),
        "target": string(),
        "useLegacyBuilder": boolean(),
        **{name: refused(REASON) for name in NOT_SERVED},
    },
    replaces=True,
)


def build_image(
    operation: Operation, engine: Engine, name: str, build: Mapping[str, Any], platform: str | None
) -> None:
    """Builds ``name`` (and ``build.tags``). Raises ``OperationError`` with the last lines where the build fails."""
    context = _context(build)
    with engine.api() as client:
        for line in _lines(client.build(**_arguments(operation, context, name, build, platform))):
            operation.status(line)
            if operation.cancelled.is_set():
                raise OperationError(f"building {name} was interrupted; run 'pulumi up' again")
        for tag in build.get("tags") or ():
            client.tag(name, repository(tag), tag=with_tag(tag).rsplit(":", 1)[-1])


def _arguments(
    operation: Operation, context: Path, name: str, build: Mapping[str, Any], platform: str | None
) -> dict[str, Any]:
    return {
        "path": str(context),
        "tag": name,
        "dockerfile": build.get("dockerfile") or "Dockerfile",
        "buildargs": dict(build.get("buildArgs") or {}),
        "labels": {**(build.get("label") or {}), **(build.get("labels") or {})},
        "target": build.get("target") or None,
        "nocache": bool(build.get("noCache")),
        "pull": bool(build.get("pullParent")),
        "rm": bool(build.get("remove", True)),
        "forcerm": bool(build.get("forceRemove")),
        "network_mode": build.get("networkMode") or None,
        "extra_hosts": list(build.get("extraHosts") or ()) or None,
        "platform": build.get("platform") or platform or None,
        "decode": True,
        # A step may say nothing for long: the operation's own end is the limit.
        "timeout": operation.remaining(),
    }


def _context(build: Mapping[str, Any]) -> Path:
    context = Path(build["context"])
    dockerfile = context / (build.get("dockerfile") or "Dockerfile")
    if not dockerfile.is_file():
        raise OperationError(
            "Error mapping build attributes: error resolving dockerfile path: "
            f"dockerfile not found at path: {dockerfile}"
        )
    return context


def _lines(events: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    last: deque[str] = deque(maxlen=LAST_LINES)
    for event in events:
        if event.get("error"):
            said = "\n".join(last)
            raise EngineError(f"{event['error']}" + (f"; the build's last lines:\n{said}" if said else ""))
        for line in str(event.get("stream") or event.get("status") or "").splitlines():
            if line.strip():
                last.append(line.rstrip())
                yield line.rstrip()
