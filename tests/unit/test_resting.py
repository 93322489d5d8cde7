"""Memory that only the start of a process needed."""

import subprocess
import sys

from dynoform import resting

_PROGRAM = """
import re, sys, threading, time
from pathlib import Path
from dynoform import resting

def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

blocks = [bytes(2000) for _ in range(20_000)]
kept = blocks[::50]
blocks.clear()
before = resident()
resting.SECONDS = float(sys.argv[1])
resting.give_back_later()
[timer] = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
timer.join(1)
print(before - resident(), all(block == bytes(2000) for block in kept))
"""


def given_back(seconds: float) -> int:
    """KiB that a process gave back which was told to do so after this time."""
    command = [sys.executable, "-c", _PROGRAM, str(seconds)]
    amount, whole = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    assert whole == "True"
    return int(amount)


def test_what_is_free_between_what_stays_goes_back() -> None:
    assert given_back(0) > 20_000
    assert abs(given_back(resting.SECONDS)) < 1_000, "a process that starts is left alone"
