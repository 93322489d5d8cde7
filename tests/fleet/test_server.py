"""A real machine, as qemu has it, gets a newer kernel by the playbook and boots into it: nothing here is a stand-in."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from providers.dynoform.ansible_run import Host, connection
from tests.fleet.chaos import write_row
from tests.fleet.hosts import LABEL, remove_labelled
from tests.fleet.inventory import BIN, ROOT, environment, told
from tests.integration.conftest import base_image

__all__ = ["base_image"]

pytestmark = [pytest.mark.machine, pytest.mark.engine, pytest.mark.timeout(7200)]
HERE = Path(__file__).parent
NAME, OWN_LABEL = "dynoform-test-server", f"{LABEL}.server"
KVM = [device] if (device := os.environ.get("DYNOFORM_TEST_KVM")) else []
"""Such as /dev/kvm, when told to: a KVM that is itself virtualised may answer and then run nothing."""
OWN_ADDRESS = "10.0.2.15"
"""What the emulator's network gives it."""
BOOT_SECONDS, RUN_SECONDS = 1800, 3600
SLOW = {
    "kernel_patching_only_manager": "allow",
    "kernel_patching_boot_free_mib": 100,
    "kernel_patching_reboot_seconds": BOOT_SECONDS,
    "kernel_patching_ready_seconds": BOOT_SECONDS,
}


@dataclass
class Server:
    """The machine.

    Parameters:
        container: whose process emulates it; its log is the machine's console.
        address: where SSH reaches it.
        folder: of the key, its public key, the inventory.
    """

    container: Any
    address: str
    folder: Path

    def run(self, command: str, *, seconds: float = 60, check: bool = True) -> str:
        """What a shell command prints there."""
        options = ["-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-i", str(self.folder / "key")]
        words = ["ssh", *options, f"root@{self.address}", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def wait(self) -> None:
        """Until it has booted, with its engine."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._answers():
            self.container.reload()
            assert self.container.status == "running" and time.monotonic() < deadline, self.console() + self.journal()
            time.sleep(5)

    def _answers(self) -> bool:
        with suppress(subprocess.TimeoutExpired):
            return bool(self.run("timeout 50 docker version --format '{{.Server.Version}}'", check=False))
        return False

    def console(self) -> str:
        """The last of what it has printed on its console."""
        return str(self.container.logs(tail=60).decode(errors="replace"))

    def journal(self) -> str:
        """What its engine has said, if SSH gets in."""
        with suppress(subprocess.TimeoutExpired):
            return self.run("journalctl --boot --no-pager --lines 80 --unit docker --unit containerd", check=False)
        return ""

    def play(self, playbook: str, *words: str, **variables: Any) -> "subprocess.CompletedProcess[str]":
        """Runs a playbook on it."""
        reached = Host(
            *("server", self.address, "ssh"),
            key_file=str(self.folder / "key"),
            known_hosts=str(self.folder / "known_hosts"),
        )
        # Emulated, it takes its time to let somebody in.
        hosts = {"server": {**connection(reached), "ansible_ssh_timeout": 60}}
        inventory = self.folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
        program = [str(BIN / "ansible-playbook"), "--inventory", str(inventory), *words]
        program += ["--extra-vars", json.dumps(variables), f"playbooks/{playbook}.yml"]
        return subprocess.run(program, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=RUN_SECONDS)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Debian server that has booted, with Docker and the oldest kernel that the mirror has."""
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    engine = docker.from_env(timeout=1800)
    remove_labelled(engine, OWN_LABEL)
    folder = tmp_path_factory.mktemp("server")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True, timeout=30)
    try:
        image, _ = engine.images.build(path=str(HERE / "server"), buildargs={"BASE": base}, rm=True, forcerm=True)
        container = engine.containers.run(
            image.id,
            name=NAME,
            labels={OWN_LABEL: ""},
            environment={"SERVER_KEY": (folder / "key.pub").read_text()},
            devices=KVM,
            detach=True,
        )
        container.reload()
        address = container.attrs["NetworkSettings"]["IPAddress"]
        _, public = container.exec_run(["cat", "/machine/root/etc/ssh/ssh_host_ed25519_key.pub"])
        (folder / "known_hosts").write_text(f"{address} {' '.join(public.decode().split()[:2])}\n")
        made = Server(container, address, folder)
        made.wait()
        yield made
    finally:
        remove_labelled(engine, OWN_LABEL)
        engine.close()


def test_a_real_machine_gets_a_newer_kernel_and_boots_into_it(server: Server) -> None:
    before, boot = server.run("uname -r"), server.run("cat /proc/sys/kernel/random/boot_id")
    server.run(f"docker swarm init --advertise-addr {OWN_ADDRESS}", seconds=300)
    began = time.monotonic()
    done = server.play("patch_kernels", **SLOW)
    took = time.monotonic() - began
    assert done.returncode == 0, told(done) + server.console()
    if "nothing to do, it is the newest" in told(done):
        pytest.skip(f"the mirror has one kernel, {before}, and no newer one")
    assert f"server (leader) runs {before} " in told(done)
    after = server.run("uname -r")
    newest = server.run("readlink /vmlinuz").removeprefix("boot/vmlinuz-")
    assert (after == before, after) == (False, newest)
    assert f"server: {before} " in told(done)
    assert f" → {after} " in told(done)
    assert server.run("cat /proc/sys/kernel/random/boot_id") != boot
    assert server.run("docker node ls --format '{{.Status}} {{.Availability}}'") == "Ready Active"
    how = "with KVM" if KVM else "emulated"
    text = f"qemu {how}, systemd, Docker: Linux {before} → {after}, upgraded, booted and proven in {took:.0f} s"
    print(f"machine: {text}")
    write_row("machine", text)
