"""Kernels for hosts of the fleet, which are containers and have this machine's: as far as anybody asks a host.

Packages are real, from a repository on the host; what runs is the newest of them since the last boot; a reboot ends the
container, which the engine starts again. ``/etc/boot-loader`` names another kernel to boot, ``/etc/never-boots`` has a
host stay down.
"""

import subprocess
from pathlib import Path

from tests.ansible.machines import KERNEL_OF, NEW, OLD, repository
from tests.fleet.hosts import FleetHost

__all__ = ["NEW", "OLD", "booted", "kernel", "with_kernels"]

BOOT = """#!/bin/sh
ls /boot/vmlinuz-* | sort --version-sort | tail -n 1 | sed 's/.*vmlinuz-//' >/run/fake-kernel
[ ! -e /etc/boot-loader ] || cp /etc/boot-loader /run/fake-kernel
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
date +%s.%N >/run/booted
"""
"""What differs from one boot to the next. Ansible knows a reboot by its boot id."""
SHUTDOWN = """#!/bin/sh
# What an init system does: the engine ends in peace, then everything, whatever becomes of the terminal of who asked.
trap '' HUP
cat >/run/power-off <<'END'
sleep 1
pkill -x dockerd
for _ in $(seq 60); do
    pgrep -x dockerd >/dev/null || break
    sleep 0.5
done
kill 1
END
setsid sh /run/power-off >/dev/null 2>&1 </dev/null &
"""
PREPARE = """set -eu
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] file:/srv/packages ./' >/etc/apt/sources.list
chmod 0755 /etc/rc.local /sbin/shutdown
/etc/rc.local
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
cp /srv/sitecustomize.py "$library/sitecustomize.py"
"""
KERNEL = f"""set -eu
rm -f /etc/dpkg/dpkg.cfg.d/90dynoform
cd /srv/packages
dpkg --force-all --install linux-image-{OLD}-amd64.deb linux-image-amd64_old.deb
"""
"""Unlike an image, a server keeps documentation: a kernel's changelog is in it."""


def with_kernels(hosts: list[FleetHost], folder: Path) -> None:
    """Give hosts an old kernel that runs, and a repository that has a newer one."""
    repository(folder / "packages")
    (folder / "sitecustomize.py").write_text(KERNEL_OF)
    (folder / "rc.local").write_text(BOOT)
    (folder / "shutdown").write_text(SHUTDOWN)
    places = {"packages": "/srv/", "sitecustomize.py": "/srv/", "rc.local": "/etc/", "shutdown": "/usr/sbin/shutdown"}
    for host in hosts:
        for name, place in places.items():
            copy = ["docker", "cp", str(folder / name), f"{host.container.id}:{place}"]
            subprocess.run(copy, check=True, capture_output=True, timeout=60)
        host.run("sh", "-c", KERNEL, seconds=120)
        host.run("sh", "-c", PREPARE, seconds=120)
        host.container.update(restart_policy={"Name": "always"})


def kernel(host: FleetHost) -> str:
    """Release of the kernel that the host says it runs."""
    return host.run("cat", "/run/fake-kernel")


def booted(host: FleetHost) -> float:
    """When the host has booted last: seconds of the epoch."""
    return float(host.run("cat", "/run/booted"))
