"""Debian's packages for tests: unpacked, not installed. Installed they would start services of their own."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dynoform.attempts import attempts


def unpack(target: Path, packages: Sequence[str]) -> None:
    """Into a folder, of the version that apt knows; it is told of the newest ones where it knows none."""
    download = ["apt-get", "download", *packages]
    for _ in attempts(120):
        done = subprocess.run(download, cwd=target, capture_output=True, text=True, timeout=300)
        if not done.returncode or os.geteuid() != 0:
            break
        # Fails while another process does the same: the lists are locked then.
        subprocess.run(["apt-get", "update"], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for package in target.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, target], check=True, timeout=300)
        package.unlink()
