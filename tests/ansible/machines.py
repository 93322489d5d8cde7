"""Hosts for playbooks that install, reboot and set a whole host: this machine's own root, written to a copy in memory.

Each is a mount namespace with an overlay over ``/`` that goes with its process. Ansible reaches it by a stand-in for
``ssh``. apt has one repository, of packages that are made here; a reboot changes what the kernel tells, and nothing
else. Needs root.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ansible.steps import Step

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
OLD, NEW = "6.1.0-30", "6.1.0-37"
VERSIONS = {OLD: "6.1.124-1", NEW: "6.1.140-1"}
CHANGELOG = f"""linux ({VERSIONS[NEW]}) bookworm-security; urgency=high

  * mends (CVE-2025-38001)

linux ({VERSIONS[OLD]}) bookworm-security; urgency=high

  * mended before (CVE-2024-11111)
"""
BOOT_ID = "/run/fake-boot-id"
SHUTDOWN = f"""#!/bin/sh
# Boots the newest kernel, unless /etc/boot-loader names another one; or never comes back.
[ ! -e /etc/never-boots ] || exit 0
ls /boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1 | sed 's/.*vmlinuz-//' > /run/fake-kernel
[ ! -e /etc/boot-loader ] || cp /etc/boot-loader /run/fake-kernel
cat /proc/sys/kernel/random/uuid > {BOOT_ID}
"""
KERNEL_OF = f"""
import platform
from pathlib import Path
_release = Path("/run/fake-kernel").read_text().strip()
_versions = {VERSIONS!r}
platform.release = lambda: _release
_version = next(version for release, version in _versions.items() if _release.startswith(release))
platform.version = lambda: "#1 SMP PREEMPT_DYNAMIC Debian " + _version
"""
MOUNT = """set -eu
mount -t tmpfs none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
mount --bind "$2" "$1/root/mnt"
mount --rbind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
mount -t tmpfs none "$1/root/run"
mount -t tmpfs none "$1/root/tmp"
# Its own list of packages, empty: this machine may be at installing something.
mount -t tmpfs none "$1/root/var/lib/dpkg"
chroot "$1/root" /bin/sh /mnt/prepare "$3"
echo ready
exec sleep 3600
"""
PREPARE = f"""set -eu
mkdir /var/lib/dpkg/info /var/lib/dpkg/updates
touch /var/lib/dpkg/status /var/lib/dpkg/available
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] file:/mnt/packages ./' > /etc/apt/sources.list
ln -s /mnt/swarm /swarm
cp /mnt/docker /usr/bin/docker
printf '%s' "$1" > /etc/node-id
cp /mnt/shutdown /sbin/shutdown
mkdir -p /root/.ssh
echo 'ssh-ed25519 AAAA test' > /root/.ssh/authorized_keys
echo {OLD}-amd64 > /run/fake-kernel
cat /proc/sys/kernel/random/uuid > {BOOT_ID}
mount --bind {BOOT_ID} /proc/sys/kernel/random/boot_id
library=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
cp /mnt/sitecustomize.py "$library/sitecustomize.py"
cd /mnt/packages
dpkg --force-all --install linux-image-{OLD}-amd64.deb linux-image-amd64_old.deb >/dev/null 2>&1
"""
SSH = """#!/bin/sh
# The last word is the command, the one before it the host.
for word in "$@"; do host=$command; command=$word; done
[ "$command" != -V ] || exit 0
lost="ssh: connect to host $host port 22: No route to host"
pid=$(cat "{folder}/$host.pid" 2>/dev/null) || {{ echo "$lost" >&2; exit 255; }}
exec nsenter --target "$pid" --mount chroot "{folder}/$host/root" /bin/sh -c "$command"
"""


@dataclass
class Machines:
    """Hosts of a swarm that is a file.

    Parameters:
        folder: of everything.
        processes: host → the process that its file system goes with.
    """

    folder: Path
    processes: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        """The swarm, while nobody is at changing it."""
        with (self.folder / "shared/swarm/state.json").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            found: dict[str, Any] = json.load(file)
        return found

    def change(self, **nodes: dict[str, Any]) -> None:
        """Changes nodes by their host's name."""
        state = self.state
        for node in state["nodes"]:
            node |= nodes.get(node["Description"]["Hostname"], {})
        self.set(state)

    def set(self, state: dict[str, Any]) -> None:
        """The swarm is this."""
        (self.folder / "shared/swarm/state.json").write_text(json.dumps(state))

    def node(self, name: str) -> dict[str, Any] | None:
        """A host's node; None when the swarm has none of it."""
        nodes = self.state["nodes"]
        return next((node for node in nodes if node["Description"]["Hostname"] == name), None)

    def run(self, name: str, command: str, *, check: bool = True) -> str:
        """What a shell command prints on a host."""
        done = subprocess.run([self.folder / "ssh", name, command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 or not check, done.stderr + done.stdout
        return done.stdout.strip()

    def cut(self, name: str) -> None:
        """The host cannot be reached any more."""
        (self.folder / f"{name}.pid").unlink()

    def mend(self, name: str) -> None:
        """The host can be reached again."""
        (self.folder / f"{name}.pid").write_text(str(self.processes[name].pid))

    def play(self, playbook: str, *words: str, **variables: Any) -> "subprocess.CompletedProcess[str]":
        """Runs a playbook over all hosts, or what ``words`` limit it to."""
        return subprocess.run(
            self.command(playbook, *words, **variables),
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )

    def command(self, playbook: str, *words: str, **variables: Any) -> list[str | Path]:
        """argv of ``ansible-playbook``."""
        hosts = {name: {"ansible_host": name} for name in self.processes}
        common = {
            "ansible_ssh_executable": str(self.folder / "ssh"),
            "ansible_ssh_transfer_method": "piped",
            "ansible_ssh_args": "-o ControlMaster=no",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "kernel_patching_manager": "one",
            "kernel_patching_boot_free_mib": 1,
            "host_removal_manager": "one",
            "host_drain_manager": "one",
        }
        inventory = self.folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
        extra = ["--extra-vars", json.dumps(variables)]
        return [BIN / "ansible-playbook", "--inventory", inventory, *extra, *words, ROOT / f"playbooks/{playbook}.yml"]

    def play_until(
        self, step: Step, playbook: str, *words: str, **variables: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a playbook whose host, or whom that one asks, cannot be reached any more as soon as a step begins."""
        cut = {"CUT_TASK": step.name, "CUT_TIME": str(step.time), "CUT_FILE": str(self.folder / f"{step.host}.pid")}
        environment = {**self.environment(), **cut, "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks")}
        return subprocess.run(
            self.command(playbook, *words, **variables),
            cwd=ROOT,
            env={**environment, "ANSIBLE_CALLBACKS_ENABLED": "cut"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    def environment(self) -> dict[str, str]:
        """For ``ansible-playbook``."""
        own = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
        return {**os.environ, **own, "PATH": f"{BIN}:{os.environ['PATH']}"}


def package(folder: Path, name: str, version: str, files: dict[str, str], depends: str = "", suffix: str = "") -> None:
    """Makes a package of these files, for every architecture."""
    root = folder / f"tree-{name}-{version}"
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <test@example.com>\n"
    control += (f"Depends: {depends}\n" if depends else "") + "Description: made by a test\n"
    for path, text in {**files, "DEBIAN/control": control}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    if (changelog := root / f"usr/share/doc/{name}/changelog.Debian").exists():
        subprocess.run(["gzip", "-9n", changelog], check=True)
    subprocess.run(["dpkg-deb", "--build", root, folder / f"{name}{suffix}.deb"], check=True, capture_output=True)
    shutil.rmtree(root)


def repository(folder: Path) -> None:
    """Kernels old and new, and packages that do nothing of the names that the roles install."""
    folder.mkdir()
    for release, version in VERSIONS.items():
        name = f"linux-image-{release}-amd64"
        files = {f"boot/vmlinuz-{release}-amd64": "kernel", f"usr/share/doc/{name}/changelog.Debian": CHANGELOG}
        package(folder, name, version, files)
    package(folder, "linux-image-amd64", VERSIONS[OLD], {}, f"linux-image-{OLD}-amd64", "_old")
    package(folder, "linux-image-amd64", VERSIONS[NEW], {}, f"linux-image-{NEW}-amd64")
    index = []
    for path in sorted(folder.glob("*.deb")):
        control = subprocess.run(["dpkg-deb", "--field", path], capture_output=True, text=True, check=True).stdout
        data = path.read_bytes()
        index.append(
            f"{control}Filename: ./{path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
    (folder / "Packages").write_text("\n".join(index))


def node(number: int, name: str, manager: str) -> dict[str, Any]:
    """A node of the swarm; ``manager`` is Docker's word for its part, empty for a worker."""
    labels = {"dynoform.test.runtime": "common", "dynoform.test.platform": "true" if number == 0 else "false"}
    return {
        "ID": f"node{number}",
        "Description": {"Hostname": name},
        "Status": {"State": "ready"},
        "Spec": {"Role": "manager" if manager else "worker", "Availability": "active", "Labels": labels},
        "manager": manager,
        "dynos": [f"dyno{number}"],
    }


@contextmanager
def machines(folder: Path, parts: dict[str, str]) -> Iterator[Machines]:
    """Hosts by name, with Docker's word for their part: ``Leader``, ``Reachable``, empty for a worker."""
    shared = folder / "shared"
    (shared / "swarm").mkdir(parents=True)
    repository(shared / "packages")
    shutil.copy(HERE / "fake_docker.py", shared / "docker")
    for name, text in {"shutdown": SHUTDOWN, "sitecustomize.py": KERNEL_OF, "prepare": PREPARE}.items():
        (shared / name).write_text(text)
    (shared / "shutdown").chmod(0o755)
    (shared / "docker").chmod(0o755)
    nodes = [node(number, name, part) for number, (name, part) in enumerate(parts.items())]
    (shared / "swarm/state.json").write_text(json.dumps({"nodes": nodes, "calls": []}))
    (folder / "ssh").write_text(SSH.format(folder=folder))
    (folder / "ssh").chmod(0o755)
    found = Machines(folder)
    try:
        for each in nodes:
            _start(found, each["Description"]["Hostname"], each["ID"])
        yield found
    finally:
        for process in found.processes.values():
            process.kill()
            process.communicate()


def _start(found: Machines, name: str, node_id: str) -> None:
    (found.folder / name).mkdir()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh"]
    words = [found.folder / name, found.folder / "shared", node_id]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    found.processes[name] = process
    assert process.stdout is not None and process.stderr is not None
    if process.stdout.readline() != "ready\n":
        raise AssertionError(process.stderr.read())
    found.mend(name)
