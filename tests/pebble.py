"""Pebble, Let's Encrypt's own ACME server for tests, and its DNS: processes on the loopback, built from Go modules.

``tests/pebble/go.sum`` pins every module by its hash. They refuse at random on purpose: half of all nonces by default.
"""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dynoform.cli.places import CHECKOUT
from tests import go_programs
from tests.integration.certificates import Authority
from tests.postgres import free_port

MODULE = CHECKOUT / "tests" / "pebble"
PACKAGE = "github.com/letsencrypt/pebble/v2/cmd"
PROGRAMS = ("pebble", "pebble-challtestsrv")
LOCAL = "127.0.0.1"
LIFETIME_SECONDS = 90 * 86400
BLOCKED = "blocked.example"
SECONDS = 60.0
"""For an answer."""


def bring() -> Path:
    """The folder with both programs, from the cache or built."""
    return go_programs.bring(MODULE, [f"{PACKAGE}/{program}" for program in PROGRAMS])


@dataclass(frozen=True)
class Pebble:
    """A running one: the URL of its directory, what signed its https, where it looks for proofs by http."""

    directory: str
    trusted: Path
    http_port: int
    management: str
    dns: str

    def ask(self, path: str, **body: Any) -> None:
        """Tell its DNS something: ``set-txt``, ``add-caa`` …"""
        answer = httpx.post(f"{self.dns}/{path}", content=json.dumps(body), trust_env=False, timeout=SECONDS)
        answer.raise_for_status()

    def root(self) -> bytes:
        """The root that its certificates lead to, PEM."""
        trust = ssl.create_default_context(cafile=str(self.trusted))
        answer = httpx.get(f"{self.management}/roots/0", verify=trust, trust_env=False, timeout=SECONDS)
        return answer.raise_for_status().content

    def suggest(self, pem: str, said: str) -> None:
        """Let it say this when it is asked for the time to renew a certificate."""
        trust = ssl.create_default_context(cafile=str(self.trusted))
        body = {"certificate": pem, "ariResponse": said}
        place = f"{self.management}/set-renewal-info/"
        httpx.post(place, json=body, verify=trust, trust_env=False, timeout=SECONDS).raise_for_status()


@contextmanager
def running(folder: Path, http_port: int | None = None, accounts: Mapping[str, str] | None = None) -> Iterator[Pebble]:
    """Run it for the length of the block, with its files in ``folder``; it looks for proofs at ``http_port``.

    With ``accounts``, names of keys with the keys (base64url), it takes nobody else (external account binding).
    """
    programs = bring()
    ports = {name: free_port() for name in ("acme", "management", "http", "tls", "dns", "dns_management")}
    ports["http"] = http_port or ports["http"]
    authority = Authority()
    certificate, key = authority.issue("pebble", LOCAL)
    for name, content in {"ca.pem": authority.pem, "cert.pem": certificate, "key.pem": key}.items():
        (folder / name).write_bytes(content)
    settings = {
        "listenAddress": f"{LOCAL}:{ports['acme']}",
        "managementListenAddress": f"{LOCAL}:{ports['management']}",
        "certificate": str(folder / "cert.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": ports["http"],
        "tlsPort": ports["tls"],
        "domainBlocklist": [BLOCKED],
        "retryAfter": {"authz": 1, "order": 1},
        "keyAlgorithm": "ecdsa",
        "profiles": {"default": {"description": "as told", "validityPeriod": LIFETIME_SECONDS}},
    }
    if accounts is not None:
        settings |= {"externalAccountBindingRequired": True, "externalAccountMACKeys": dict(accounts)}
    (folder / "config.json").write_text(json.dumps({"pebble": settings}))
    dns = [programs / "pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]
    dns += ["-defaultIPv6", "", "-dnsserver", f"{LOCAL}:{ports['dns']}"]
    dns += ["-management", f"{LOCAL}:{ports['dns_management']}"]
    acme = [programs / "pebble", "-config", folder / "config.json", "-dnsserver", f"{LOCAL}:{ports['dns']}"]
    refusals = {"PEBBLE_WFE_NONCEREJECT": "50", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_CHAIN_LENGTH": "1"}
    with (
        process(dns, folder / "dns.log", ports["dns_management"], {}),
        process(acme, folder / "pebble.log", ports["acme"], refusals),
    ):
        yield Pebble(
            f"https://{LOCAL}:{ports['acme']}/dir",
            folder / "ca.pem",
            ports["http"],
            f"https://{LOCAL}:{ports['management']}",
            f"http://{LOCAL}:{ports['dns_management']}",
        )


@contextmanager
def process(command: list[Any], log: Path, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """A program that listens on a port, for the length of the block."""
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env={"PATH": os.defpath, **environment}) as started,
    ):
        try:
            wait(port, log)
            yield
        finally:
            started.kill()


def wait(port: int, log: Path) -> None:
    """Until something listens."""
    ends = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((LOCAL, port), 1).close()
            return
        except OSError:
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.05)
