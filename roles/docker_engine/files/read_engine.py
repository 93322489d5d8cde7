"""Reads which Docker is on this host and prints it as JSON; changes nothing.

Two clients may be on PATH, and a client that is newer than the engine may not speak its API: the first one that gets
an answer is the one to use. Every call has a timeout: a client can hang on an engine that is starting or stuck.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 15
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def clients() -> list[str]:
    """Every ``docker`` there is, in the order of PATH, then of the usual folders; one name per file."""
    folders = [*os.get_exec_path(), *FOLDERS]
    found = [str(Path(folder, "docker")) for folder in folders if os.access(Path(folder, "docker"), os.X_OK)]
    return list({os.path.realpath(path): path for path in reversed(found)}.values())[::-1]


def ask(client: str, *words: str) -> tuple[dict[str, Any], str]:
    """The JSON that ``client`` prints, or an empty object and why there is none."""
    command = [client, *words, "--format", "{{json .}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - fixed words
    except subprocess.TimeoutExpired:
        return {}, f"gave no answer in {SECONDS} s"
    try:
        answer = json.loads(done.stdout or "{}")
    except json.JSONDecodeError:
        answer = {}
    return answer, " ".join(done.stderr.split())


def about(client: str) -> dict[str, str]:
    """Where the engine keeps its data, and how."""
    info, _ = ask(client, "info")
    return {
        "root": info.get("DockerRootDir", ""),
        "driver": info.get("Driver", ""),
    }


def main() -> None:
    """Prints what was found."""
    reasons = {}
    found: dict[str, Any] = {}
    for client in clients():
        version, reason = ask(client, "version")
        if version.get("Server"):
            found = {"client": client, "server": version["Server"], **about(client)}
            break
        reasons[client] = reason
    folders = os.pathsep.join([*os.get_exec_path(), *FOLDERS])
    pids = [path.name for path in Path("/proc").iterdir() if path.name.isdigit() and command_name(path) == "dockerd"]
    systemd = Path("/run/systemd/system").is_dir()
    rest = {
        "daemon": shutil.which("dockerd", path=folders),
        "pids": pids,
        "systemd": systemd,
        "root_user": os.geteuid() == 0,
    }
    print(json.dumps({**found, **rest, "reasons": reasons}))


def command_name(process: Path) -> str:
    """Name of a process, empty when it has ended meanwhile."""
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
