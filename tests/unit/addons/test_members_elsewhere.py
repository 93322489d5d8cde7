"""The program by which others are run beside a server on another host."""

import os
import subprocess

from dynoform.cli.places import CHECKOUT

AT = CHECKOUT / "images/postgres-ha/at"


def test_a_server_on_this_host_is_not_looked_for_elsewhere() -> None:
    environment = {"PATH": os.environ["PATH"], "AT_SERVERS": "2=10.0.0.2:15012"}
    done = subprocess.run([str(AT), "1", "true"], env=environment, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (1, "at: server 1 is on this host, and its container does not run\n")
