"""A hostile program for a build, by ``bin/pre_compile``: tries to get out, says in JSON how far it came.

It leaves in the slug what no slug may have. ``hostile.py`` is beside it. Hostile Dockerfiles use parts of it.
"""

import errno
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import hostile

GIB = 1024**3
CLOSED = ("/etc/passwd", "/opt/dynoform/build", "/opt/dynoform/buildpacks/order", "/usr/bin/cat", "/file")


def registry(address: str) -> str:
    """What the platform's registry says to somebody without a certificate of ours."""
    host, _, port = address.partition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(f"GET /v2/_catalog HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            return tls.recv(100).decode()
    except OSError:
        return "closed"


def largest_file() -> bool:
    """Whether a file can be larger than the builds' limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = Path("film")
    try:
        with path.open("wb") as file:
            file.truncate(3 * GIB)
    except OSError as error:
        assert error.errno == errno.EFBIG, error
        return False
    finally:
        path.unlink()
    return True


def leave() -> None:
    """Leave what no slug may have, and some things that it may."""
    tool = Path("tool")
    tool.write_bytes(Path("/usr/bin/id").read_bytes())
    tool.chmod(0o6755)
    os.mkfifo("pipe")
    socket.socket(socket.AF_UNIX).bind("door")
    Path("two\nlines").write_text("kept")
    Path("passwd").symlink_to("/etc/passwd")
    # Not on the build's output: that would hold it until its time is over.
    subprocess.Popen(["setsid", "sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    Path("/cache/mark").write_text("mine\n")


def main() -> None:
    """Report, then leave."""
    report = {
        "cache": sorted(path.name for path in Path("/cache").iterdir()),
        "written": hostile.written(CLOSED),
        "gains": [gain for gain in hostile.gains() if gain != "more files"],
        "setuid_program": hostile.setuid_program(),
        "user": os.getuid(),
        "capabilities": hostile.status("CapBnd"),
        "no_new_privileges": hostile.status("NoNewPrivs"),
        "registry": registry(sys.argv[1]),
        "large_file": largest_file(),
        "told": sorted(name for name in os.environ if name.startswith("DYNOFORM")),
        "secrets": Path("/run/secrets").exists(),
        "disks": [path for path in ("/var/lib/docker/containers", "/var/lib/dynoform") if Path(path).exists()],
    }
    leave()
    print("found", json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
