"""Places for backups that are not a volume: S3 by moto with TLS, and a host that a role makes."""

import contextlib
import io
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import docker
from botocore.config import Config

from providers.dynoform.ansible_run import Host, run_playbook
from providers.dynoform.engine import Operation
from tests.e2e.conftest import ROOT
from tests.integration.certificates import Authority

ADDRESS = "172.29.32.1"
"""The host, as databases of the stack see it."""
S3_PORT, SSH_PORT = 15990, 15991
"""Ports that the firewall opens to databases."""
BUCKET = "shop-backups"
SECRET = "kept-from-everybody"
IMAGE = """FROM {base}
USER root
RUN apt-get update && apt-get install -y --no-install-recommends openssh-server python3 python3-apt \
 && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* && touch --date=@0 /var/lib/apt/lists \
 && install -d -m 0700 /root/.ssh && install -d -m 0755 /run/sshd
"""


@dataclass(frozen=True)
class Far:
    """A place: its settings, what opens it, and what is in it."""

    settings: dict[str, Any]
    key: str
    files: Callable[[], list[str]]
    read: Callable[[str], bytes]
    away: Callable[[], None]
    """It answers nobody any more, nor refuses."""
    back: Callable[[], None]


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[Far]:
    """A bucket; its server's certificate is an authority's of the test's own."""
    authority = Authority()
    for name, pem in zip(("crt", "key"), authority.issue(ADDRESS, ADDRESS), strict=True):
        (folder / f"s3.{name}").write_bytes(pem)
    (folder / "ca.pem").write_bytes(authority.pem)
    words = [sys.executable, "-m", "tests.e2e.moto_over_tls", ADDRESS, str(S3_PORT)]
    words += [str(folder / "s3.crt"), str(folder / "s3.key")]
    with (folder / "moto.log").open("w") as log, subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log) as process:
        try:
            client = boto3.client(
                "s3",
                endpoint_url=f"https://{ADDRESS}:{S3_PORT}",
                region_name="eu-central-1",
                aws_access_key_id="id",
                aws_secret_access_key=SECRET,
                verify=str(folder / "ca.pem"),
                config=Config(retries={"max_attempts": 20}, s3={"addressing_style": "path"}),
            )
            _listens(S3_PORT)
            client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

            def files() -> list[str]:
                pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
                return [each["Key"] for page in pages for each in page.get("Contents") or ()]

            yield Far(
                {
                    "type": "s3",
                    "bucket": BUCKET,
                    "endpoint": ADDRESS,
                    "port": S3_PORT,
                    "region": "eu-central-1",
                    "uriStyle": "path",
                    "prefix": "/dynoform",
                    "authorities": authority.pem.decode(),
                },
                f"id:{SECRET}",
                files,
                lambda name: bytes(client.get_object(Bucket=BUCKET, Key=name)["Body"].read()),
                lambda: process.send_signal(signal.SIGSTOP),
                lambda: process.send_signal(signal.SIGCONT),
            )
        finally:
            process.kill()


def _listens(port: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, port), timeout=5):
            return
        time.sleep(0.3)
    raise AssertionError(f"nothing listens at port {port}")


@contextlib.contextmanager
def sftp(folder: Path, base: str) -> Iterator[Far]:
    """A host with an SSH server, made by the role ``backup_repository``, twice: the second time changes nothing."""
    engine = docker.from_env(timeout=300)
    for name in ("operator", "databases"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True)
    image, _ = engine.images.build(fileobj=io.BytesIO(IMAGE.format(base=base).encode()), rm=True, timeout=300)
    serve = f"""ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
        echo '{(folder / "operator.pub").read_text().strip()}' >/root/.ssh/authorized_keys
        exec /usr/sbin/sshd -D -e -o Port={SSH_PORT} -o ListenAddress={ADDRESS}"""
    name = f"dynoform-test-far-{secrets.token_hex(4)}"
    host = engine.containers.run(
        image.id, [serve], entrypoint=["sh", "-c"], name=name, network_mode="host", detach=True
    )
    try:
        _listens(SSH_PORT)
        found = host.exec_run("cat /etc/ssh/ssh_host_ed25519_key.pub")
        kind, public, *_ = found.output.decode().split()
        known = f"[{ADDRESS}]:{SSH_PORT} {kind} {public}"
        (folder / "known_hosts").write_text(known + "\n")
        files = {"key_file": str(folder / "operator"), "known_hosts": str(folder / "known_hosts")}
        reached = Host("far", ADDRESS, "ssh", user="root", port=SSH_PORT, **files)
        operation = Operation("urn:pulumi:test::dynoform::dynoform:index:Playbook::far", lambda *_, **__: None)
        told = {"backup_repository_public_keys": [(folder / "databases.pub").read_text().strip()]}
        first, second = (run_playbook(operation, "playbooks/backup_repository.yml", reached, told) for _ in range(2))
        assert first.changes and not second.changes, second.changes
        place = "/srv/dynoform-backups"

        def listed() -> list[str]:
            said = host.exec_run(["find", f"{place}/repositories", "-type", "f"]).output.decode()
            return [line.removeprefix(f"{place}/") for line in said.splitlines()]

        yield Far(
            {
                "type": "sftp",
                "host": ADDRESS,
                "port": SSH_PORT,
                "user": "dynoform-backups",
                "path": "/repositories",
                "knownHosts": known,
            },
            (folder / "databases").read_text(),
            listed,
            lambda file: bytes(host.exec_run(["cat", f"{place}/{file}"]).output),
            lambda: host.pause(),
            lambda: host.unpause(),
        )
    finally:
        host.remove(force=True, v=True)
        engine.close()
