"""Hosts of a platform that ``bin/dynoform up`` made: which have to stay, one that comes and goes by a line of settings,
and all of them patched by the stack's own inventory, while two apps are asked. Only the kernel is a stand-in's.

Order matters: each test leaves the fleet as the next one needs it.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.e2e.conftest import ROOT, Run, eventually
from tests.fleet.chaos import record_patching
from tests.fleet.hosts import Fleet
from tests.fleet.inventory import BIN, Done, environment, told
from tests.fleet.kernels import NEW, OLD, kernel, with_kernels
from tests.fleet.load import Load, requests
from tests.fleet.relay import relayed
from tests.fleet.test_standby import Servers
from tests.fleet.test_up import DOMAIN, HTTP, STACK, Operator, states, status
from tests.fleet.writes import Writes, written

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
HOSTS, FOURTH = ("host1", "host2", "host3"), "host4"
APPS = ("blog", "shop")
DYNOS = ("ps", "--quiet", "--filter", "label=dynoform.dyno-id")
ADD_SECONDS = 90
HAND_OVER_SECONDS = 15
"""How long a premium database may be away with a host, and with that of its address."""


class OfTwoApps(Operator):
    """Three managers that databases may have servers on, and two apps with a dyno on each."""

    quantity = len(HOSTS)
    """Of web dynos of the second app."""

    def declared(self) -> dict[str, Any]:
        """The stack's settings."""
        source = "examples/apps/python"
        apps = {
            name: {"source": source, "formation": {"web": {"quantity": quantity}}}
            for name, quantity in zip(APPS, (len(HOSTS), self.quantity), strict=True)
        }
        settings = super().declared()
        for name in HOSTS[1:]:
            settings["hosts"][name]["data"] = True
        return settings | {"apps": apps}

    def up_with(self, *left_out: str, **changed: dict[str, Any]) -> Run:
        """``up`` with some hosts' lines left out, and those of others changed."""
        settings = self.declared()
        hosts = {name: host | changed.get(name, {}) for name, host in settings["hosts"].items()}
        self.declare(settings | {"hosts": {name: host for name, host in hosts.items() if name not in left_out}})
        try:
            return self.up()
        finally:
            self.declare(settings)

    def scale(self, quantity: int, size: str = "Standard-1X") -> None:
        """Have so many dynos of the second app, of this size, all of which are up."""
        self.quantity = quantity
        self.api("PATCH", f"/apps/{APPS[1]}/formation/web", json={"quantity": quantity, "size": size})

        def are_up() -> bool:
            dynos = self.api("GET", f"/apps/{APPS[1]}/dynos").json()
            return [(dyno["state"], dyno["size"]) for dyno in dynos] == [("up", size)] * quantity

        eventually(are_up, 180, f"{quantity} {size} dynos are up")

    def patch(self, *words: str) -> Done:
        """``patch_kernels.yml`` as in docs/how-to/patch-hosts.md, for hosts with little in /boot."""
        program = [str(BIN / "ansible-playbook"), "--inventory", "tools/stack_inventory.py", *words]
        program += ["--extra-vars", json.dumps({"kernel_patching_boot_free_mib": 1}), "playbooks/patch_kernels.yml"]
        known = environment() | self.environment
        return subprocess.run(program, cwd=ROOT, env=known, capture_output=True, text=True, timeout=1500)

    def database(self) -> tuple[str, str]:
        """Id and address of a premium PostgreSQL of the second app, whose standby could take over."""
        made = self.api("POST", f"/apps/{APPS[1]}/addons", json={"plan": "heroku-postgresql:premium-0"}).json()
        path = f"/apps/{APPS[1]}/addons/{made['id']}"
        eventually(lambda: self.api("GET", path).json()["state"] == "provisioned", 400, "the database is provisioned")
        self.wait_for_standby(made["id"])
        return made["id"], str(self.api("GET", f"/apps/{APPS[1]}/config-vars").json()["DATABASE_URL"])

    def wait_for_standby(self, addon: str) -> None:
        """Until the database says that its standby has all that is acknowledged."""

        def is_available() -> bool:
            shown = self.api("GET", f"/client/v11/databases/{addon}").json()
            return {line["name"]: line["values"][0] for line in shown["info"]}.get("HA Status") == "Available"

        eventually(is_available, 180, "the standby could take over")


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfTwoApps]:
    """The platform runs."""
    with OfTwoApps(fleet, tmp_path_factory.mktemp("operator")) as made:
        print(f"up on three hosts: {made.make().seconds:.0f} s")
        eventually(lambda: status(made)["healthy"], 120, "all is well")
        yield made


@contextmanager
def load(fleet: Fleet) -> Iterator[list[Load]]:
    """Some 100 requests/s to both apps, through whichever router lets a connection in, as a load balancer has it."""
    addresses = [fleet[name].address for name in HOSTS]
    with ExitStack() as stack:
        asked = [
            Load(addresses[turn], HTTP, f"{name}.{DOMAIN}", others=addresses[turn + 1 :] + addresses[:turn])
            for turn, name in enumerate(APPS)
        ]
        yield [stack.enter_context(requests(each)) for each in asked]
        time.sleep(1)


def named(operator: Operator) -> set[str]:
    """The hosts that dynos run on."""
    return {host["name"] for host in status(operator)["hosts"]}


@pytest.mark.parametrize(
    ("left_out", "changed", "size", "why"),
    [
        (
            ("host3",),
            {},
            "Standard-1X",
            "2 are managers (host1, host2), of which none may be lost more than of one less — make it an odd number",
        ),
        (
            ("host2", "host3"),
            {},
            "Performance-L",
            "host host2: the others of the runtime common have no memory for its dynos (Performance-L is the first) "
            "— add a host first, or have fewer or smaller dynos",
        ),
        (
            (),
            {"host1": {"platform": False}, "host2": {"platform": True}},
            "Standard-1X",
            "host host1: has the platform's PostgreSQL, registry and sources, which do not move to another host",
        ),
    ],
    ids=["quorum", "capacity", "data"],
)
def test_what_the_stack_cannot_do_without_stays(
    operator: OfTwoApps, left_out: tuple[str, ...], changed: dict[str, Any], size: str, why: str
) -> None:
    operator.scale(len(HOSTS), size)
    done = operator.up_with(*left_out, **changed)
    operator.scale(len(HOSTS))
    assert done.code == 1, done.out
    assert why in done.err
    assert named(operator) == set(HOSTS)


def test_a_host_comes_with_its_line_takes_dynos_and_goes_without_it(operator: OfTwoApps, fleet: Fleet) -> None:
    """Dynos come to it and leave it, new ones elsewhere first."""
    operator.scale(2 * len(HOSTS))
    (new,) = fleet.add(FOURTH)
    with load(fleet) as asked:
        came = operator.up_with()
        assert came.code == 0, f"{came.out}\n{came.err}"
        print(f"a host more: {came.seconds:.0f} s (goal {ADD_SECONDS})")
        assert named(operator) == {*HOSTS, FOURTH}
        eventually(lambda: new.docker(*DYNOS), 180, "a dyno has moved to the new host")
        went = operator.up_with(FOURTH)
        assert went.code == 0, f"{went.out}\n{went.err}"
        print(f"a host less: {went.seconds:.0f} s")
        print(new.docker("ps", "--format", "{{.Names}}: {{.Status}}"))
        eventually(lambda: new.docker("ps", "--quiet") == "", 60, "what still ran there has ended")
        eventually(lambda: states(operator, APPS[1]) == {"up": operator.quantity}, 60, "all dynos are elsewhere")
    assert [one for each in asked for one in each.failures] == []
    assert named(operator) == set(HOSTS)


def test_hosts_are_patched_without_a_failed_request_or_a_lost_row_and_what_stands_still_is_told(
    operator: OfTwoApps, fleet: Fleet, tmp_path: Path
) -> None:
    """The host of the database's primary is among the first; the platform's is last, and its services stand still."""
    hosts = [fleet[name] for name in HOSTS]
    operator.scale(len(HOSTS))
    addon, url = operator.database()
    servers = Servers(fleet, f"{STACK}_addon-{addon}")
    primarys = servers.host(2).name
    assert servers.ask(1, "switchover")
    eventually(lambda: servers.are(2), 60, "the server on another host is primary")
    with_kernels(hosts, tmp_path)
    port = int(str(conninfo_to_dict(url)["port"]))
    with relayed(hosts, port) as relay, load(fleet) as asked:
        writes = Writes(make_conninfo(url, host="127.0.0.1", port=relay, sslmode="require"))
        writes.prepare()
        with written(writes):
            began = time.monotonic()
            others = operator.patch("--limit", ",".join(HOSTS[1:]))
            assert others.returncode == 0, told(others)
            assert servers.are(1), "the next host is begun with once the standby could take over"
            handed_over, writes.slowest = writes.slowest, 0.0
            done = operator.patch()
            seconds = time.monotonic() - began
            assert done.returncode == 0, told(done)
            assert servers.are(2), "the run ends once the standby could take over"
            acknowledged = writes.acknowledged
            eventually(lambda: writes.acknowledged > acknowledged, 60, "rows are acknowledged again")
        lost = writes.lost()
    away = (
        "the database, a premium one, has its standby on another host: a row had to be tried for "
        f"{handed_over:.1f} s at most while the others than the platform's went, that of the primary too, and for "
        f"{writes.slowest:.1f} s with the platform's, by the address that each host has"
    )
    record_patching(seconds, len(hosts), asked, writes, len(lost), away, name="platform-patched")
    leaves = f"{primarys}: has the primaries of add-on {addon}; their standbys elsewhere take over first"
    assert leaves in told(others) and "no other host can run" not in told(others)
    before = f"host1: no other host can run these, which stand still until it is undrained: {STACK}_api (its data"
    after = (
        f"host1: {OLD}-amd64 6.1.124-1 → {NEW}-amd64 6.1.140-1, closes CVE-2025-38001; these stood still: {STACK}_api"
    )
    still = f"meanwhile these stand still, which no other host can run: {STACK}_api, "
    assert before in told(done)
    assert after in told(done)
    assert told(done).count("meanwhile these stand still") == told(done).count(still) == 1
    assert {kernel(host) for host in hosts} == {f"{NEW}-amd64"}
    assert [one for each in asked for one in each.failures] == []
    assert lost == set()
    assert handed_over < HAND_OVER_SECONDS
    assert writes.slowest < HAND_OVER_SECONDS
    assert f"add-on {addon} (" not in told(done), "each host has its address"
    eventually(lambda: status(operator)["healthy"], 120, "all is well")
