"""patch_kernels.yml by a stack's own inventory: three hosts that `up` made, while two apps are asked and a premium
database is written to, all the time. Only the kernel is a stand-in's.

The database, its standby too, is on the platform's host, as all that is the platform's: it stands still with that host,
which the run says before and after, and loses nothing.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from tests.e2e.conftest import ROOT, eventually
from tests.fleet.chaos import record_patching
from tests.fleet.hosts import Fleet
from tests.fleet.inventory import BIN, Done, environment, told
from tests.fleet.kernels import NEW, OLD, kernel, with_kernels
from tests.fleet.load import Load, requests
from tests.fleet.test_up import DOMAIN, HTTP, STACK, Operator, status
from tests.fleet.writes import Writes, written

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
HOSTS = ("host1", "host2", "host3")
APPS = ("blog", "shop")
AWAY_SECONDS = 300
"""How long a premium database may be away with its host."""


class OfTwoApps(Operator):
    """Three managers, and two apps with a dyno on each."""

    def declared(self) -> dict[str, Any]:
        """The stack's settings."""
        app = {"source": "examples/apps/python", "formation": {"web": {"quantity": len(HOSTS)}}}
        return super().declared() | {"apps": dict.fromkeys(APPS, app)}

    def patch(self, *words: str) -> Done:
        """``patch_kernels.yml`` as in docs/how-to/patch-hosts.md, for hosts with little in /boot."""
        program = [str(BIN / "ansible-playbook"), "--inventory", "tools/stack_inventory.py", *words]
        program += ["--extra-vars", json.dumps({"kernel_patching_boot_free_mib": 1}), "playbooks/patch_kernels.yml"]
        known = environment() | self.environment
        return subprocess.run(program, cwd=ROOT, env=known, capture_output=True, text=True, timeout=1500)

    def database(self, app: str) -> tuple[str, str]:
        """Id and address of a premium PostgreSQL of the app, whose standby could take over."""
        made = self.api("POST", f"/apps/{app}/addons", json={"plan": "heroku-postgresql:premium-0"}).json()
        path = f"/apps/{app}/addons/{made['id']}"
        eventually(lambda: self.api("GET", path).json()["state"] == "provisioned", 400, "the database is provisioned")
        self.wait_for_standby(made["id"])
        return made["id"], str(self.api("GET", f"/apps/{app}/config-vars").json()["DATABASE_URL"])

    def wait_for_standby(self, addon: str) -> None:
        """Until the database says that its standby has all that is acknowledged."""

        def is_available() -> bool:
            shown = self.api("GET", f"/client/v11/databases/{addon}").json()
            return {line["name"]: line["values"][0] for line in shown["info"]}.get("HA Status") == "Available"

        eventually(is_available, 180, "the standby could take over")


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfTwoApps]:
    """The platform runs on hosts with an old kernel, and a newer one in their repository."""
    made = OfTwoApps(fleet, tmp_path_factory.mktemp("operator"))
    made.dynoform("down", "--purge", "--yes")  # the state of a run that was killed, whose hosts are gone
    done = made.up()
    assert done.code == 0, f"{done.out}\n{done.err}"
    print(f"up on three hosts: {done.seconds:.0f} s")
    eventually(lambda: status(made)["healthy"], 120, "all is well")
    with_kernels(list(fleet.hosts.values()), Path(tmp_path_factory.mktemp("kernels")))
    yield made
    made.dynoform("down", "--purge", "--yes")


@contextmanager
def load(fleet: Fleet) -> Iterator[list[Load]]:
    """Some 100 requests/s to both apps, through whichever router lets a connection in, as a load balancer has it."""
    addresses = [host.address for host in fleet.hosts.values()]
    with ExitStack() as stack:
        turns = enumerate(APPS)
        asked = [
            Load(addresses[turn], HTTP, f"{name}.{DOMAIN}", others=addresses[turn + 1 :] + addresses[:turn])
            for turn, name in turns
        ]
        yield [stack.enter_context(requests(each)) for each in asked]
        time.sleep(1)


def test_hosts_are_patched_without_a_failed_request_or_a_lost_row_and_what_stands_still_is_told(
    operator: OfTwoApps, fleet: Fleet
) -> None:
    addon, url = operator.database("shop")
    writes = Writes(make_conninfo(url, sslmode="require"))
    writes.prepare()
    looked = operator.patch("--check")
    assert looked.returncode == 0, told(looked)
    still = f"meanwhile these stand still, which no other host can run: add-on {addon}, {STACK}_api, "
    assert still in told(looked)
    assert f"{STACK}_postgres, {STACK}_registry" in told(looked)
    assert told(looked).count("meanwhile these stand still") == 1
    with load(fleet) as asked, written(writes):
        began = time.monotonic()
        done = operator.patch()
        seconds = time.monotonic() - began
        acknowledged = writes.acknowledged
        eventually(lambda: writes.acknowledged > acknowledged, 60, "rows are acknowledged again")
    assert done.returncode == 0, told(done)
    lost = writes.lost()
    parts = "a premium one and its standby"
    record_patching(seconds, len(HOSTS), asked, writes, len(lost), name="platform-patched", database=parts)
    assert f"host1: no other host can run these, which stand still until it is undrained: add-on {addon} (" in told(
        done
    )
    assert f"host1: {OLD}-amd64 6.1.124-1 → {NEW}-amd64 6.1.140-1, closes CVE-2025-38001; these stood still: " in told(
        done
    )
    assert {kernel(host) for host in fleet.hosts.values()} == {f"{NEW}-amd64"}
    assert [one for each in asked for one in each.failures] == []
    assert lost == set()
    assert writes.slowest < AWAY_SECONDS
    operator.wait_for_standby(addon)
    eventually(lambda: status(operator)["healthy"], 120, "all is well")
