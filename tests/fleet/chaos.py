"""What losing hosts costs, as rows of docs/reference/chaos.md: the tests that measure it write them."""

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from dynoform.cli.bench.measures import machine
from tests.fleet.load import Load
from tests.fleet.writes import Writes

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/chaos.md"
TITLES = {
    "host-lost": "a host of four killed under requests to a dyno on each (`host-lost`)",
    "leader-lost": "the host of the swarm's leader killed, the same (`leader-lost`)",
    "patched": (
        "all hosts' kernels patched one by one, the run killed once, under requests to two apps and writes to a "
        "database (`patched`)"
    ),
    "platform-patched": (
        "the hosts of a platform that `up` made, patched one by one by its own inventory, under requests to two apps "
        "and writes to a premium database (`platform-patched`)"
    ),
    "machine": "a virtual machine's kernel patched by the playbook (`machine`)",
}
COMMAND = "`DYNOFORM_RECORD=1 bin/dynoform test -m {}`"


def record(name: str, seconds: float, goal: float, load: Load, killed: float) -> None:
    """Print the figures; write the row when asked to by DYNOFORM_RECORD."""
    failed = load.failed_since(killed)
    last = f", the last sent {failed[-1]:.1f} s after it" if failed else ""
    under_way = len(load.failures) - len(failed)
    text = (
        f"all dynos serve elsewhere {seconds:.1f} s after (goal {goal:g} s); {load.answered} requests answered, "
        f"{under_way} under way at the kill and {len(failed)} sent after it failed{last}; slowest {load.slowest:.1f} s"
    )
    print(f"{name}: {text}")
    keep(name, seconds, **_parts(load, under_way, failed))
    write_row(name, text)


def record_patching(
    seconds: float,
    hosts: int,
    loads: Sequence[Load],
    writes: Writes,
    lost: int,
    database: str,
    *,
    name: str = "patched",
) -> None:
    """The same for a run of patch_kernels.yml; ``database`` says for how long the one was away that was written to."""
    answered, failed = (
        sum(count) for count in zip(*((each.answered, len(each.failures)) for each in loads), strict=True)
    )
    slowest = max(each.slowest for each in loads)
    text = (
        f"{hosts} hosts drained, upgraded, rebooted and undrained in {seconds:.0f} s, the leader last; "
        f"{answered:,} requests answered ({answered / seconds:.0f} a second), {failed} failed, "
        f"slowest {slowest:.1f} s; "
        f"{writes.acknowledged:,} rows acknowledged, {lost} lost; {database}"
    )
    print(f"{name}: {text}")
    write_row(name, text)


def write_row(name: str, text: str) -> None:
    """The row of this name, when asked to by DYNOFORM_RECORD."""
    if not os.environ.get("DYNOFORM_RECORD"):
        return
    command = COMMAND.format("machine" if name == "machine" else "fleet")
    row = f"| {TITLES[name]} | {text} | {command} | {datetime.now(UTC):%Y-%m-%d} | {machine()} |"
    old = PAGE.read_text()
    found = re.search(rf"^\|.*\(`{name}`\).*$", old, re.MULTILINE)
    PAGE.write_text(old.replace(found[0], row) if found else f"{old.rstrip()}\n{row}\n")


def _parts(load: Load, under_way: int, failed: list[float]) -> dict[str, float]:
    """What goes with the seconds in the table of ``bin/dynoform bench``."""
    parts: dict[str, float] = {"answered [requests]": load.answered, "failed under way [requests]": under_way}
    return parts | {"failed after [requests]": len(failed), "slowest": load.slowest}


def keep(name: str, seconds: float, **parts: float) -> None:
    """Put a figure with what other tests of the run have found, for ``bin/dynoform bench`` when it asks."""
    if not (result := os.environ.get("BENCH_RESULT")):
        return
    file = Path(result)
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, name: {"seconds": seconds, **parts}}))
