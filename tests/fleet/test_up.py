"""The whole platform on hosts by SSH, from settings alone: ``bin/dynoform up`` against four fresh hosts, and ``down``.

The names of the stack's domain lead to the first host for what runs here, and for nobody else: in a mount namespace of
its own.
"""

import json
import re
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.e2e.conftest import ROOT, Run, eventually
from tests.fleet.hosts import Fleet
from tests.fleet.load import Load, requests

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
STACK, DOMAIN = "spread", "fleet.test"
HTTP, HTTPS, PLATFORM = 18080, 18443, 18400
NAMES = tuple(f"{name}.{DOMAIN}" for name in ("api.localhost", "registry.localhost", "python"))
EVERYWHERE = ("log-agent", "router", "router-agent", "runtime-agent")
ONCE = ("api", "builder", "databases", "logplex", "postgres", "registry")
UP_SECONDS = 2400
DISKS = {"host4": 5000}
HOG = 'work: test "$(df -m /app | awk "END { print \\$2 }")" -gt 9999 || dd if=/dev/zero of=/app/big bs=1M; sleep 1000'
"""Writes until the disk is full, but only on a host with a small one."""


class Operator:
    """Who has nothing but the checkout, the hosts' key and a file with settings."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.hosts, self.settings = fleet, folder / "hosts", folder / f"Pulumi.{STACK}.yaml"
        self.hog = folder / "hog"
        self.hog.mkdir(exist_ok=True)
        (self.hog / "Procfile").write_text(f"{HOG}\n")
        (self.hog / "requirements.txt").touch()
        self.environment: dict[str, str] = {}
        first = next(iter(fleet.hosts.values()))
        self.hosts.write_text(f"127.0.0.1 localhost\n{first.address} {' '.join(NAMES)}\n")
        self.declare(self.declared())

    def __enter__(self) -> Self:
        self._remove()  # the state of a run that was killed, whose hosts are gone
        return self

    def __exit__(self, *exception: object) -> None:
        self._remove()

    def _remove(self) -> None:
        self.dynoform("down", "--purge", "--yes")

    def declare(self, settings: Mapping[str, Any]) -> None:
        """Have these settings."""
        self.settings.write_text(yaml.safe_dump({"config": {f"dynoform:{k}": v for k, v in settings.items()}}))

    def declared(self) -> dict[str, Any]:
        """The stack's settings: three managers, one of them with the platform's data, and a worker."""
        reached = {"keyFile": str(self.fleet.key_file), "knownHosts": str(self.fleet.known_hosts)}
        hosts: dict[str, Any] = {
            name: {"address": host.address, "zone": zone, **reached}
            for (name, host), zone in zip(self.fleet.hosts.items(), "abca", strict=False)
        }
        hosts["host1"]["platform"] = True
        for name in set(hosts) & {"host4"}:
            hosts[name]["role"] = "worker"
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
            "apps": {
                "python": {"source": "examples/apps/python", "formation": {"web": {"quantity": 4}}},
                "hog": {"source": str(self.hog), "formation": {"work": {"quantity": 0}}},
            },
        }

    def dynoform(self, command: str, *words: str) -> Run:
        """Run ``bin/dynoform`` where the domain's names are known."""
        script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        stack = [] if command == "restore" else ["--stack", STACK]  # a backup says itself whose it is
        program = [str(ROOT / "bin/dynoform"), command, *stack, *words]
        words = ("unshare", "--mount", "sh", "-c", script, "sh", str(self.hosts), *program)
        began = time.monotonic()
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=UP_SECONDS)
        return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def up(self) -> Run:
        """``up`` with the settings."""
        return self.dynoform("up", "--yes", "--config-file", str(self.settings))

    def make(self) -> Run:
        """The same, which has to succeed."""
        done = self.up()
        assert done.code == 0, f"{done.out}\n{done.err}"
        return done

    def api(self, method: str, path: str, **what: Any) -> httpx.Response:
        """The Platform API, at the first host, by the name that its certificate is for."""
        if not self.environment:
            lines = self.dynoform("env").out.splitlines()
            exported = (line.removeprefix("export ").partition("=") for line in lines if line.startswith("export "))
            self.environment |= {key: value.strip("'") for key, _, value in exported}
        trust = ssl.create_default_context(cafile=self.environment["DYNOFORM_CA"])
        headers = {
            "Host": f"{NAMES[0]}:{HTTPS}",
            "Accept": "application/vnd.heroku+json; version=3",
            "Authorization": f"Bearer {self.environment['HEROKU_API_KEY']}",
        }
        url = f"https://{self.fleet['host1'].address}:{HTTPS}{path}"
        with httpx.Client(verify=trust, timeout=30, trust_env=False) as client:
            answer = client.request(method, url, headers=headers, extensions={"sni_hostname": NAMES[0]}, **what)
        return answer.raise_for_status()

    def log(self, app: str) -> str:
        """The app's log."""
        made = self.api("POST", f"/apps/{app}/log-sessions", json={"lines": 1500, "tail": False}).json()
        where = urlsplit(made["logplex_url"])
        return self.api("GET", f"{where.path}?{where.query}").text

    def asks(self, host: str) -> httpx.Response:
        """The app, through one host's router."""
        url = f"http://{self.fleet[host].address}:{HTTP}/"
        return httpx.get(url, headers={"Host": f"python.{DOMAIN}"}, timeout=10, trust_env=False)


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The hosts have nothing of the platform: the first builds its images, this machine's engine has no part in it."""
    with Operator(fleet, tmp_path_factory.mktemp("operator")) as made:
        yield made


@pytest.fixture(scope="module")
def first(operator: Operator) -> Run:
    """The run that made all of it."""
    done = operator.make()
    print(f"up on four hosts: {done.seconds:.0f} s")
    return done


def status(operator: Operator) -> dict[str, Any]:
    return dict(json.loads(operator.dynoform("status", "--json").out))


def states(operator: Operator, app: str) -> Counter[str]:
    return Counter(str(dyno["state"]) for dyno in operator.api("GET", f"/apps/{app}/dynos").json())


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


def test_a_full_disk_of_one_host_stops_who_filled_it_and_the_others_serve(operator: Operator, first: Run) -> None:
    address = operator.fleet["host1"].address
    with requests(Load(address, HTTP, f"python.{DOMAIN}")) as asked:
        operator.api("PATCH", "/apps/hog/formation/work", json={"quantity": 4})
        full = re.compile(
            r"heroku\[work\.\d\]: Error R99 \(Platform error\) -> The disk of its host is full, and the dyno"
        )
        eventually(lambda: full.search(operator.log("hog")), 180, "the dyno that filled the disk is stopped")
        eventually(lambda: states(operator, "hog")["up"] >= 3, 60, "those on other hosts run")
        operator.api("PATCH", "/apps/hog/formation/work", json={"quantity": 0})
        eventually(lambda: not states(operator, "hog"), 90, "all of them are gone")
    assert asked.failures == []
    small = operator.fleet["host4"]
    free = ("df", "--output=avail", "-m", "/var/lib/docker")
    eventually(lambda: int(small.run(*free).split()[-1]) > 1000, 120, "the disk has room again")
    eventually(lambda: status(operator)["healthy"], 60, "all is well")


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
