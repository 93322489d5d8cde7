"""Reads which kernels a host has, what an upgrade would bring, and what is in its way; prints JSON, changes nothing.

Debian's kernels say their package's version in ``uname -v``: two of them may have the same release.
"""

import functools
import gzip
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 120
PACKAGE = re.compile(r"linux-image-(?:unsigned-)?(\d\S*?)(?<!-dbg)(?<!-dbgsym)")
UPGRADE = re.compile(r"^Inst (\S+)(?: \[(\S+)\])? \((\S+)")
ENTRY = re.compile(r"^\S+ \((\S+)\) ")
CVE = re.compile(r"CVE-\d{4}-\d{4,}")
DOCUMENTATION = Path("/usr/share/doc")
LIVE = Path("/sys/kernel/livepatch")


def run(*words: str) -> tuple[int, str]:
    """Exit status of a command, and what it printed."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            words, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def newer(one: str, other: str) -> int:
    """Order of two versions, as dpkg has it."""
    if one == other:
        return 0
    return 1 if run("dpkg", "--compare-versions", one, "gt", other)[0] == 0 else -1


def installed() -> list[dict[str, str]]:
    """Kernels that are installed, the newest last: release, package, version."""
    _, text = run("dpkg-query", "-W", "-f", "${Package}\t${db:Status-Status}\t${Version}\n", "linux-image-*")
    found = []
    for line in text.splitlines():
        name, status, version = [*line.split("\t"), "", ""][:3]
        if status == "installed" and (match := PACKAGE.fullmatch(name)):
            found.append({"release": match[1], "package": name, "version": version})
    return sorted(found, key=functools.cmp_to_key(lambda one, other: newer(one["version"], other["version"])))


def runs(kernel: dict[str, str], release: str, version: str) -> bool:
    """Whether this is the kernel that ``uname`` tells of."""
    told = re.search(r"Debian (\S+)", version)
    return kernel["release"] == release and (told is None or told[1] == kernel["version"])


def upgrades() -> dict[str, list[str]]:
    """Package → version it has and version that a full upgrade would bring."""
    _, text = run("apt-get", "--simulate", "--quiet", "dist-upgrade")
    found = (UPGRADE.match(line) for line in text.splitlines())
    return {match[1]: [match[2] or "", match[3]] for match in found if match}


def closed(kernel: dict[str, str], since: str) -> list[str]:
    """CVEs that the changelog of a kernel names in entries after the version ``since``."""
    path = DOCUMENTATION / kernel["package"] / "changelog.Debian.gz"
    if not since or not path.exists():
        return []
    found: set[str] = set()
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if (entry := ENTRY.match(line)) and newer(entry[1], since) <= 0:
                break
            found |= set(CVE.findall(line))
    return sorted(found)


def livepatch() -> str:
    """What patches the running kernel on this host, if a patch is in force (Documentation/livepatch/livepatch.rst)."""
    states = LIVE.glob("*/enabled") if LIVE.is_dir() else ()
    if not any(state.read_text().strip() == "1" for state in states):
        return ""
    return "canonical-livepatch" if shutil.which("canonical-livepatch") else "kpatch"


def main() -> None:
    """Print it all."""
    kernels, release, version = installed(), platform.release(), platform.version()
    running = next((kernel for kernel in kernels if runs(kernel, release, version)), None)
    newest = kernels[-1] if kernels else None
    boot = Path("/boot")
    changes = upgrades()
    found: dict[str, Any] = {
        "running": release,
        "running_version": running["version"] if running else "",
        "newest": newest["release"] if newest else "",
        "newest_version": newest["version"] if newest else "",
        "reboot": bool(newest) and newest is not running,
        "reboot_asked": Path("/run/reboot-required").exists() or Path("/var/run/reboot-required").exists(),
        "kernel_upgrades": {name: each for name, each in changes.items() if name.startswith("linux-image-")},
        "upgrades": changes,
        "boot_free_mib": shutil.disk_usage(boot).free // 2**20 if boot.is_dir() else 0,
        "interrupted": bool(run("dpkg", "--audit")[1].strip()),
        "held": [name for name in run("apt-mark", "showhold")[1].split() if name.startswith("linux-image-")],
        "livepatch": livepatch(),
        "cves": closed(newest, running["version"]) if newest and running else [],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
