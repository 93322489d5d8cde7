"""Whether SSH gets into a stack's hosts, before `up` changes anything on them."""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dynoform.cli.process import Command, run
from dynoform.domain import host_settings
from dynoform.errors import DynoformError
from providers.ssh_tunnel import command

SECONDS = 3 * host_settings.SSH_SECONDS
AT_A_TIME = 8
RIGHTS = 'test "$(id -u)" = 0 || sudo -n true'


def problems(hosts: Mapping[str, Any]) -> Iterator[tuple[str, DynoformError | None]]:
    """Name of each host, and why it cannot be made one of the platform; None when SSH gets in with root's rights."""
    if not shutil.which("ssh"):
        yield "ssh", DynoformError("ssh", "is not installed", "apt-get install openssh-client")
        return
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield from zip(hosts, pool.map(_problem, hosts, hosts.values()), strict=True)


def _problem(name: str, host: Mapping[str, Any]) -> DynoformError | None:
    address = host_settings.ssh_address(host)
    try:
        done = run(Command([*command(address, host_settings.ssh_options(host)), RIGHTS], timeout=SECONDS))
    except DynoformError as error:
        return error
    if done.code == 0:
        return None
    at = f"host {name} ({address.removeprefix('ssh://')})"
    if done.code == 255:  # SSH's own
        return DynoformError(at, f"SSH does not get in: {done.last_words}", "see its address, user, port and keyFile")
    return DynoformError(at, f"has no root's rights there: {done.last_words}", "let it use sudo without a password")
