"""Lets one patch run at a time touch a swarm: takes, keeps or gives back the lock that is on a manager.

Usage: ``lock.py take|keep|free|look OWNER SECONDS``; ``look`` asks for nothing. A lock that its owner has not kept for
so many seconds is nobody's any more: its run was killed. Prints the owner. Exit status 3: another one has it.
"""

import fcntl
import json
import sys
import time
from pathlib import Path

LOCK = Path("/run/dynoform-patch-kernels.json")
TAKEN = 3


def main(verb: str, owner: str, seconds: float) -> int:
    """See the module; the file itself is locked while it is looked at."""
    with LOCK.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        held = json.loads(text) if text else {"owner": "", "kept": 0.0}
        lives = held["owner"] and time.time() - held["kept"] < seconds
        if verb == "look":
            print(held["owner"])
            return 0
        if lives and held["owner"] != owner:
            print(held["owner"])
            return TAKEN
        file.truncate(0)
        if verb != "free":
            file.write(json.dumps({"owner": owner, "kept": time.time()}))
    print(owner)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
