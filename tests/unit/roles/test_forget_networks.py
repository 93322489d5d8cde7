"""What is taken out of the store of an engine that was killed: recorded from a host of the test fleet, Docker 26.1.5.

That an engine starts with what is left, and Swarm makes its networks, the tests of the fleet see.
"""

import fcntl
import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests import go_programs, role_scripts

HERE = Path(__file__)
SCRIPT = HERE.parents[3] / "roles/dyno_runtime/files/forget_networks.py"
KILLED = gzip.decompress(HERE.with_name("local-kv.db.gz").read_bytes())
BRIDGES = {"dyn-spread", "plt-spread"}
NETWORK = "1khd6e1k6h7tnmfemql101wq7"
PREFIX = b"docker/network/v1.0/"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return role_scripts.load("dyno_runtime", "forget_networks")


def entries(script: ModuleType, data: bytes) -> dict[bytes, bytes]:
    """Key → value, in the file's order."""
    (bucket,) = script.Reader(data).read().buckets.values()
    return dict(bucket.values)


@pytest.fixture(scope="module")
def bbolt() -> Path:
    """The database's own program."""
    return go_programs.bring(HERE.parents[2] / "bbolt", ["go.etcd.io/bbolt/cmd/bbolt"]) / "bbolt"


@pytest.mark.parametrize("bridges", [BRIDGES, {"docker0"}, {"docker0", "docker_gwbridge", *BRIDGES}])
def test_the_database_that_is_left_is_whole(script: ModuleType, bbolt: Path, tmp_path: Path, bridges: set[str]) -> None:
    file = tmp_path / "local-kv.db"
    data, forgotten = script.forget(KILLED, bridges)
    file.write_bytes(data)
    assert forgotten
    checked = subprocess.run([bbolt, "check", file], capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stdout) == (0, "OK\n")
    listed = subprocess.run([bbolt, "keys", file, "libnetwork"], capture_output=True, timeout=30, check=True)
    assert listed.stdout.splitlines() == list(entries(script, data))


def test_networks_of_the_bridges_go_and_nothing_else_changes(script: ModuleType) -> None:
    data, forgotten = script.forget(KILLED, BRIDGES)
    assert forgotten == [NETWORK]
    before, after = entries(script, KILLED), entries(script, data)
    assert set(before) - set(after) == {PREFIX + f"bridge/{NETWORK}/".encode()}
    assert list(after) == sorted(after), "keys are looked up by halving"
    changed = {key: value[8:] for key, value in after.items() if before[key] != value}
    # Of the dynos' config-only network: its only user went with the engine.
    ((key, value),) = changed.items()
    assert json.loads(value) == {"Count": 0}
    assert json.loads(before[key][8:]) == {"Count": 1}
    config = json.loads(before[key.replace(b"endpoint_count", b"network")][8:])
    assert config["name"] == "spread_dynos_config"


def test_what_is_forgotten_is_not_forgotten_again(script: ModuleType) -> None:
    once, _ = script.forget(KILLED, BRIDGES)
    assert script.forget(once, BRIDGES) == (once, [])
    assert script.forget(KILLED, {"dyn-other"}) == (KILLED, [])


def test_neighbours_of_a_network_that_goes_are_found_as_before(script: ModuleType) -> None:
    data, forgotten = script.forget(KILLED, {"docker0", "docker_gwbridge", *BRIDGES})
    assert len(forgotten) == 3
    before, after = entries(script, KILLED), entries(script, data)
    left = {key for key in before if not key.startswith(PREFIX + b"bridge/")}
    assert set(after) == left
    assert all(after[key] == before[key] for key in left if not key.startswith(PREFIX + b"endpoint_count"))


def test_the_older_of_two_heads_counts_when_the_newer_is_torn(script: ModuleType) -> None:
    newer = max((0, 4096), key=lambda at: struct.unpack_from("<Q", KILLED, at + 64)[0])
    torn = bytearray(KILLED)
    torn[newer + 70] ^= 0xFF
    kept = script.Reader(bytes(torn)).read()
    assert kept.page_size == 4096
    assert kept.buckets[b"libnetwork"].values


def run(file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, SCRIPT, file, *BRIDGES], capture_output=True, text=True, timeout=30)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    file = tmp_path / "local-kv.db"
    file.write_bytes(KILLED)
    file.chmod(0o640)
    return file


def test_the_file_is_replaced_as_a_whole_and_says_what_went(script: ModuleType, store: Path) -> None:
    done = run(store)
    assert (done.returncode, done.stdout) == (0, f"networks that Swarm makes anew, forgotten: {NETWORK}\n")
    assert store.read_bytes() == script.forget(KILLED, BRIDGES)[0]
    assert store.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in store.parent.iterdir()] == ["local-kv.db"]
    assert run(store).stdout == ""


def test_an_engine_that_runs_is_left_alone(store: Path) -> None:
    with store.open("rb") as engine:
        fcntl.flock(engine, fcntl.LOCK_EX)
        assert run(store).returncode == 0
    assert store.read_bytes() == KILLED


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "it has no page that says what is where"), (KILLED[:8192] + bytes(40960), "its pages are not as expected")],
)
def test_what_is_not_as_expected_is_left_as_it_is(store: Path, content: bytes, why: str) -> None:
    store.write_bytes(content)
    done = run(store)
    assert (done.returncode, done.stderr) == (1, f"{store}: {why}; it is left as it is\n")
    assert store.read_bytes() == content


def test_no_store_is_nothing_to_forget(tmp_path: Path) -> None:
    assert run(tmp_path / "local-kv.db").returncode == 0
