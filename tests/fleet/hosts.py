"""A fleet of hosts on this machine: containers with SSH and a Docker engine of their own, in a network of their own.

Made for everything that needs several hosts: placement, lost hosts, data services, kernel patching. A host here can do
what a server can do but load kernel modules: it is reached by SSH with a key, runs containers, is killed, restarted,
cut off from the network. Everything carries ``LABEL`` and is removed by it, also when an earlier run was killed.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
LABEL = "dynoform.test.fleet"
DISKS = Path("/var/tmp/dynoform-test-fleet")  # noqa: S108 - hosts' disks, found again after a run that was killed
NETWORK = "dynoform-test-fleet"
SUBNET, GATEWAY = "172.31.240.0/24", "172.31.240.1"
FIRST_HOST = 11
"""Last octet of the first host's address; those below are free for what a test puts beside the hosts."""
BOOT_SECONDS = 60
_CAPABILITIES: dict[str, Any] = {
    # All but CAP_SYS_RESOURCE, which a machine may not have to give: that is why --privileged is not used.
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "device_cgroup_rules": ["a *:* rwm"],
}

CAPABILITIES = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
)
"""The same for the docker client, for what mounts."""


@dataclass
class FleetHost:
    """One host.

    Parameters:
        name: its host name, ``host1`` for instance.
        address: its IPv4 address in the fleet's network.
        container: the container that it is.
        folder: of the fleet's SSH key and known hosts.
    """

    name: str
    address: str
    container: Container
    folder: Path

    def run(self, *words: str, stdin: str | None = None, seconds: float = 60, check: bool = True) -> str:
        """What a command prints on the host, as root; fails with what it complained about unless told not to."""
        command = ["docker", "exec", *(["-i"] if stdin is not None else []), self.container.id, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0 or not check, f"{self.name}: {' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def docker(self, *words: str, seconds: float = 60, check: bool = True) -> str:
        """What the docker client prints on the host."""
        return self.run("timeout", f"{seconds:g}", "docker", *words, seconds=seconds + 10, check=check)

    def runs(self) -> bool:
        """Whether it has booted and was not killed since."""
        self.container.reload()
        return bool(self.container.status == "running")

    def kill(self) -> None:
        """All its processes end at once, as when the power fails; no packet is answered any more."""
        self.container.kill("SIGKILL")

    def boot(self) -> None:
        """Start it again, with its disks as they were, and wait for engine and SSH."""
        self.container.start()
        self.wait()

    def cut(self) -> None:
        """Take its network away; what runs on it runs on."""
        self._network.disconnect(self.container, force=True)

    def mend(self) -> None:
        """Give its network back, with the same address."""
        self._network.connect(self.container, ipv4_address=self.address)

    def wait(self, seconds: float = BOOT_SECONDS) -> None:
        """Until engine and SSH answer."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(subprocess.TimeoutExpired, AssertionError):
                self.run("timeout", "5", "docker", "version", seconds=15)
                self._remember_key()
                return
            assert time.monotonic() < deadline, f"{self.name} does not boot: {self.container.logs().decode()[-2000:]}"
            time.sleep(0.5)

    def _remember_key(self) -> None:
        """Its SSH host key, read on the host itself: SSH never has to trust what it meets on the way."""
        key = self.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
        known = self.folder / "known_hosts"
        line = f"{self.address} {key[0]} {key[1]}"
        lines = known.read_text().splitlines() if known.exists() else []
        known.write_text("\n".join(dict.fromkeys([*lines, line])) + "\n")

    @property
    def _network(self) -> Any:
        return self.container.client.networks.get(NETWORK)


class Fleet:
    """The hosts by name; more can be added while it runs."""

    def __init__(
        self, engine: docker.DockerClient, image: str, folder: Path, disks: Mapping[str, int] | None = None
    ) -> None:
        """``disks`` is host name → MiB of the disk that its engine has for itself."""
        self.engine, self.image, self.folder, self.disks = engine, image, folder, disks or {}
        self.hosts: dict[str, FleetHost] = {}

    def __getitem__(self, name: str) -> FleetHost:
        return self.hosts[name]

    @property
    def key_file(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """The hosts' public keys."""
        return self.folder / "known_hosts"

    def add(self, *names: str) -> list[FleetHost]:
        """New hosts of these names, all booted."""
        public = self.key_file.with_suffix(".pub").read_text().strip()
        made = []
        for name in names:
            address = f"{GATEWAY.rpartition('.')[0]}.{FIRST_HOST + len(self.hosts)}"
            container = self._create(name, address, public)
            container.start()
            self.hosts[name] = FleetHost(name, address, container, self.folder)
            made.append(self.hosts[name])
        for host in made:
            host.wait()
        return made

    def renew(self, name: str) -> FleetHost:
        """A new machine with the name and address of one that is lost: other disks, another host key."""
        lost = self.hosts[name]
        lost.container.remove(force=True, v=True)
        known = self.known_hosts.read_text().splitlines()
        self.known_hosts.write_text("".join(f"{line}\n" for line in known if not line.startswith(f"{lost.address} ")))
        container = self._create(name, lost.address, self.key_file.with_suffix(".pub").read_text().strip())
        container.start()
        self.hosts[name] = FleetHost(name, lost.address, container, self.folder)
        self.hosts[name].wait()
        return self.hosts[name]

    def load(self, names: Sequence[str], hosts: Sequence[FleetHost]) -> None:
        """Copy images from this machine's engine to hosts'."""
        for host in hosts:
            with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as saved:
                load = ["docker", "exec", "-i", host.container.id, "docker", "load", "--quiet"]
                subprocess.run(load, stdin=saved.stdout, check=True, capture_output=True, timeout=300)

    def _create(self, name: str, address: str, public: str) -> Container:
        api = self.engine.api
        endpoint = api.create_endpoint_config(ipv4_address=address)
        binds = [f"{_disk(name, self.disks[name])}:/var/lib/docker"] if name in self.disks else []
        config = api.create_host_config(init=True, tmpfs={"/run": "exec,mode=755"}, binds=binds, **_CAPABILITIES)
        # What the client calls systempaths=unconfined: /proc/sys can be written, as an engine has to.
        config |= {"MaskedPaths": [], "ReadonlyPaths": []}
        created = api.create_container(
            self.image,
            name=f"{NETWORK}-{name}",
            hostname=name,
            environment={"FLEET_KEY": public},
            labels={LABEL: name},
            host_config=config,
            networking_config=api.create_networking_config({NETWORK: endpoint}),
        )
        return self.engine.containers.get(created["Id"])


def host_image(engine: docker.DockerClient, base: str) -> str:
    """Build the hosts' image on the project's base image (from the cache when nothing changed); returns its name."""
    name = f"{LABEL.replace('.', '/', 1).replace('.', '-')}:host"
    with tempfile.TemporaryDirectory() as folder:
        for file in (*(HERE / "image").iterdir(), ROOT / "roles/docker_engine/files/start_dockerd.sh"):
            shutil.copy(file, folder)
        engine.images.build(path=folder, buildargs={"BASE": base}, tag=name, rm=True, forcerm=True)
    return name


def _disk(name: str, mebibytes: int) -> Path:
    """A disk of its own: a file with a file system, mounted."""
    mounted, file = DISKS / name, DISKS / f"{name}.ext4"
    mounted.mkdir(parents=True)
    with file.open("wb") as empty:
        empty.truncate(mebibytes * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", file], check=True, timeout=120)
    subprocess.run(["mount", "-o", "loop", file, mounted], check=True, timeout=60)
    return mounted


def _remove_disks() -> None:
    for mounted in (path for path in DISKS.glob("*") if path.is_dir()):
        subprocess.run(["umount", "--lazy", mounted], check=False, timeout=60, capture_output=True)
    shutil.rmtree(DISKS, ignore_errors=True)


def remove_fleet(engine: docker.DockerClient) -> None:
    """Remove hosts, their disks and their network, whoever left them: only what carries the label."""
    remove_labelled(engine, LABEL)
    for network in engine.networks.list(filters={"label": LABEL}):
        with suppress(APIError):
            network.remove()
    _remove_disks()


def remove_labelled(engine: docker.DockerClient, label: str) -> None:
    """Remove containers with a label, whoever left them."""
    for container in engine.containers.list(all=True, filters={"label": label}):
        with suppress(NotFound):
            container.remove(force=True, v=True)


@contextmanager
def fleet(base: str, *names: str, disks: Mapping[str, int] | None = None) -> Iterator[Fleet]:
    """Hosts of these names, booted, in a network of their own; all of it is gone at the end of the block.

    Parameters:
        base: name of the project's base image.
        disks: host name → MiB of the disk that its engine has for itself; others share this machine's.
    """
    engine = docker.from_env(timeout=120)
    remove_fleet(engine)
    try:
        image = host_image(engine, base)
        pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=SUBNET, gateway=GATEWAY)])
        engine.networks.create(NETWORK, driver="bridge", ipam=pool, labels={LABEL: ""})
        with tempfile.TemporaryDirectory(prefix="dynoform-fleet-") as folder:
            key = Path(folder) / "key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=30)
            made = Fleet(engine, image, Path(folder), disks)
            made.add(*names)
            yield made
    finally:
        remove_fleet(engine)
        engine.close()
