"""The whole platform on hosts by SSH, from settings alone: ``bin/dynoform up`` against four fresh hosts, and ``down``.

The names of the stack's domain lead to the first host for what runs here, and for nobody else: in a mount namespace of
its own.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.conftest import ROOT, Run, eventually
from tests.fleet.hosts import Fleet

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
STACK, DOMAIN = "spread", "fleet.test"
HTTP, HTTPS, PLATFORM = 18080, 18443, 18400
NAMES = tuple(f"{name}.{DOMAIN}" for name in ("api.localhost", "registry.localhost", "python"))
EVERYWHERE = ("log-agent", "router", "router-agent", "runtime-agent")
ONCE = ("api", "builder", "logplex", "postgres", "registry")
UP_SECONDS = 2400
IMAGES = ("dynoform/debian", "dynoform/stack-13", "dynoform/stack-13-build", "dynoform/control-plane")


class Operator:
    """Who has nothing but the checkout, the hosts' key and a file with settings."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.hosts, self.settings = fleet, folder / "hosts", folder / f"Pulumi.{STACK}.yaml"
        first = next(iter(fleet.hosts.values()))
        self.hosts.write_text(f"127.0.0.1 localhost\n{first.address} {' '.join(NAMES)}\n")
        self.settings.write_text(yaml.safe_dump({"config": {f"dynoform:{k}": v for k, v in self.declared().items()}}))

    def declared(self) -> dict[str, Any]:
        """The stack's settings: three managers, one of them with the platform's data, and a worker."""
        reached = {"keyFile": str(self.fleet.key_file), "knownHosts": str(self.fleet.known_hosts)}
        hosts: dict[str, Any] = {
            name: {"address": host.address, "zone": zone, **reached}
            for (name, host), zone in zip(self.fleet.hosts.items(), "abca", strict=True)
        }
        hosts["host1"]["platform"] = True
        hosts["host4"]["role"] = "worker"
        return {
            "domain": DOMAIN,
            "httpPort": HTTP,
            "httpsPort": HTTPS,
            "listenAddress": "0.0.0.0",  # noqa: S104 - in the fleet's network
            "execAddress": "",
            "platformPort": PLATFORM,
            "dynoSubnet": "172.29.96.0/22",
            "platformSubnet": "172.29.100.0/24",
            "hosts": hosts,
            "apps": {"python": {"source": "examples/apps/python", "formation": {"web": {"quantity": 4}}}},
        }

    def dynoform(self, command: str, *words: str) -> Run:
        """Run ``bin/dynoform`` where the domain's names are known."""
        script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        program = [str(ROOT / "bin/dynoform"), command, "--stack", STACK, *words]
        words = ("unshare", "--mount", "sh", "-c", script, "sh", str(self.hosts), *program)
        began = time.monotonic()
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=UP_SECONDS)
        return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def up(self) -> Run:
        """``up`` with the settings."""
        return self.dynoform("up", "--yes", "--config-file", str(self.settings))

    def asks(self, host: str) -> httpx.Response:
        """The app, through one host's router."""
        url = f"http://{self.fleet[host].address}:{HTTP}/"
        return httpx.get(url, headers={"Host": f"python.{DOMAIN}"}, timeout=10, trust_env=False)


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The hosts have nothing of the platform, but what this machine has built before is in their engine's cache."""
    made = Operator(fleet, tmp_path_factory.mktemp("operator"))
    fleet.load_built(IMAGES, [fleet["host1"]])
    yield made
    made.dynoform("down", "--purge", "--yes")


@pytest.fixture(scope="module")
def first(operator: Operator) -> Run:
    """The run that made all of it."""
    done = operator.up()
    assert done.code == 0, f"{done.out}\n{done.err}"
    print(f"up on four hosts: {done.seconds:.0f} s")
    return done


def status(operator: Operator) -> dict[str, Any]:
    return dict(json.loads(operator.dynoform("status", "--json").out))


def test_up_makes_the_platform_on_all_hosts(operator: Operator, first: Run) -> None:
    assert f"https://api.localhost.{DOMAIN}:{HTTPS}" in first.out
    found = eventually(lambda: (seen := status(operator))["healthy"] and seen, 120, "all is well")
    assert {host["name"]: host["state"] for host in found["hosts"]} == dict.fromkeys(operator.fleet.hosts, "open")
    running = {service["name"].removeprefix(f"{STACK}_"): service["running"] for service in found["services"]}
    assert running == dict.fromkeys(EVERYWHERE, 4) | dict.fromkeys(ONCE, 1) | {"reconcile": 3}


def test_an_app_is_spread_and_answers_at_every_host(operator: Operator, first: Run) -> None:
    for host in operator.fleet.hosts:
        eventually(lambda host=host: operator.asks(host).is_success, 60, f"the router on {host} serves")  # type: ignore[misc]
    filters = ("--quiet", "--filter", "label=dynoform.dyno-id")
    counts = Counter({name: len(host.docker("ps", *filters).split()) for name, host in operator.fleet.hosts.items()})
    assert counts == dict.fromkeys(operator.fleet.hosts, 1)


def test_up_again_changes_nothing(operator: Operator, first: Run) -> None:
    again = operator.up()
    assert again.code == 0, again.err
    assert "no changes" in again.err, again.err
    looked = operator.dynoform("up", "--yes", "--refresh", "--config-file", str(operator.settings))
    assert looked.code == 0, looked.err
    assert "no changes" in looked.err, looked.err


def test_a_host_that_ssh_does_not_reach_is_named_before_anything_is_changed(operator: Operator, first: Run) -> None:
    operator.fleet["host4"].cut()
    try:
        done = operator.up()
    finally:
        operator.fleet["host4"].mend()
    assert done.code == 1
    assert f"host host4 (root@{operator.fleet['host4'].address}:22): SSH does not get in: " in done.err
    assert "nothing was changed" in done.err


def test_down_leaves_nothing_on_the_hosts(operator: Operator, first: Run) -> None:
    eventually(lambda: status(operator)["healthy"], 120, "the host is back")
    gone = operator.dynoform("down", "--purge", "--yes")
    assert gone.code == 0, f"{gone.out}\n{gone.err}"
    for host in operator.fleet.hosts.values():
        assert host.docker("ps", "--all", "--quiet") == ""
        assert STACK not in host.docker("network", "ls") + host.run("ip", "-o", "link")
        assert host.run("ls", "/etc/dynoform", check=False) == ""
    first_host = operator.fleet["host1"]
    assert first_host.docker("service", "ls", "--quiet") + first_host.docker("secret", "ls", "--quiet") == ""
    assert first_host.docker("volume", "ls", "--quiet") == ""
