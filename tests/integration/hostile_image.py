"""A hostile program for a RUN of a Dockerfile, as root: tries to get out, says in JSON how far it came."""

import json
import os
import sys
from pathlib import Path

import hostile
import hostile_build


def main() -> None:
    """Report."""
    report = {
        "forks": hostile.forks(),
        "gains": [gain for gain in hostile.gains() if gain not in ("setuid", "more files")],
        "user": os.getuid(),
        "no_new_privileges": hostile.status("NoNewPrivs"),
        "seccomp": hostile.status("Seccomp"),
        "capabilities": hostile.status("CapBnd"),
        "registry": hostile_build.registry(sys.argv[1]),
        "large_file": hostile_build.largest_file(),
        "told": sorted(name for name in os.environ if name.startswith("DYNOFORM")),
        "secrets": Path("/run/secrets").exists(),
        "disks": [path for path in ("/var/lib/docker/containers", "/var/lib/dynoform") if Path(path).exists()],
    }
    print("found", json.dumps(report), flush=True)


main()
