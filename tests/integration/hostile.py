"""A hostile program for a dyno: tries to get out of each limit, says in JSON how far it came, then eats memory.

It runs inside the dyno, with its Python and nothing else; the test gives it to the dyno as a config var. Hostile builds
use parts of it.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1024 * 1024
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
CLOSED = (
    "/etc/passwd",
    "/usr/bin/cat",
    "/opt/dynoform/dyno",
    "/run/secrets/config",
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory.max",
    "/dev/mem",
)
OWN = ("/app/file", "/tmp/file", "/dev/shm/file")  # noqa: S108 - the dyno's own
libc = ctypes.CDLL(None, use_errno=True)


def forks() -> int:
    """How many processes can be there besides this one's."""
    children: list[int] = []
    try:
        while len(children) < 5000:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)


def open_files() -> int:
    """How many files one process can have open."""
    files: list[int] = []
    try:
        while len(files) < 100_000:
            files.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    for file in files:
        os.close(file)
    return len(files)


def written(paths: tuple[str, ...]) -> list[str]:
    """Those of the files that can be written."""
    found = []
    for path in paths:
        try:
            with open(path, "ab"):
                found.append(path)
        except OSError:
            pass
    return found


def status(name: str) -> str:
    """A line of what the kernel says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def gains() -> list[str]:
    """What a program may not do, and could do here."""
    found = []
    attempts: dict[str, Callable[[], object]] = {
        "setuid": lambda: os.setuid(0),
        "device": lambda: os.mknod("/app/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000)),
        "engine": lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            found.append(name)
        except (OSError, ValueError):
            pass
    results = {
        "user namespace": libc.unshare(CLONE_NEWUSER),
        "mount namespace": libc.unshare(CLONE_NEWNS),
        "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "chroot": libc.chroot(b"/app"),
    }
    return found + [name for name, result in results.items() if result == 0]


def setuid_program() -> str:
    """Who a program of root's with the setuid bit runs as: ``su`` says whether it may ask for a password at all."""
    assert os.stat("/usr/bin/su").st_mode & stat.S_ISUID
    script = "import subprocess, sys; child = subprocess.Popen(['su'], stdin=subprocess.PIPE, stderr=subprocess.PIPE);"
    script += "sys.stdout.write(open(f'/proc/{child.pid}/status').read()); child.kill()"
    shown = subprocess.run(["python3", "-c", script], capture_output=True, text=True, timeout=60).stdout
    return next((line.split()[2] for line in shown.splitlines() if line.startswith("Uid:")), shown)


def main() -> None:
    """Report, then take a processor's time, then memory: over the quota, and on without end."""
    report = {
        "forks": forks(),
        "open_files": open_files(),
        "written": written(CLOSED),
        "own": written(OWN) == list(OWN),
        "gains": gains(),
        "setuid_program": setuid_program(),
        "no_new_privileges": status("NoNewPrivs"),
        "seccomp": status("Seccomp"),
        "capabilities": status("CapBnd"),
        "user": os.getuid(),
        "processes": sorted(path.name for path in Path("/proc").glob("[0-9]*")),
        "oom_score": Path("/proc/self/oom_score_adj").read_text().strip(),
    }
    print(json.dumps(report), flush=True)
    for _ in range(2):
        threading.Thread(target=lambda: subprocess.run(["sh", "-c", "while :; do :; done"]), daemon=True).start()
    eaten = [bytearray(b"x" * MIB) for _ in range(620)]
    time.sleep(30)  # a look at its memory comes every 20 s
    while True:
        eaten.append(bytearray(b"x" * MIB))


if __name__ == "__main__":
    main()
