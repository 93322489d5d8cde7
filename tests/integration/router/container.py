"""HAProxy in its container, as the platform runs it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from tests.integration import certificates
from tests.integration.engine_parts import EngineParts


def make_folder(parent: Path) -> tuple[Path, bytes]:
    """The directory that HAProxy and agent share, with a certificate beside it; and that certificate's authority."""
    folder = parent / "state"
    folder.mkdir()
    folder.chmod(0o777)  # the image's user is not known here
    for above in [*folder.parents][:3]:
        if above != Path(tempfile.gettempdir()):
            above.chmod(0o755)
    authority = certificates.Authority()
    pem = parent / "router.pem"
    pem.write_bytes(b"".join(authority.issue("router", "127.0.0.1")))
    pem.chmod(0o644)
    return folder, authority.pem


def start_router(
    parts: EngineParts,
    folder: Path,
    platform: str,
    listen: str,
    http: int,
    https: int,
    more: Mapping[str, str] | None = None,
    **options: Any,
) -> Container:
    """Start it on the host's network: ``platform`` is where API and log plane are, the rest where it listens.

    ``more`` goes into its environment, for instance how long requests wait for a dyno, in place of Heroku's 75 s;
    ``options`` are Docker's.
    """
    return parts.run(
        "router",
        network_mode="host",
        cap_drop=["ALL"],
        cap_add=["NET_BIND_SERVICE"],
        environment={
            "DYNOFORM_PLATFORM_ADDRESS": platform,
            "DYNOFORM_LISTEN_ADDRESS": listen,
            "DYNOFORM_HTTP_PORT": str(http),
            "DYNOFORM_HTTPS_PORT": str(https),
            **(more or {}),
        },
        volumes={
            str(folder): {"bind": "/var/lib/dynoform/router"},
            str(folder.parent / "router.pem"): {"bind": "/run/secrets/router.pem", "mode": "ro"},
        },
        **options,
    )
