"""What is done on a stack's hosts by SSH alone: whether that gets in, before `up` changes anything; data on others."""

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


_DATA = """
as_root() { if test "$(id -u)" = 0; then "$@"; else sudo -n "$@"; fi; }
found=$(as_root docker volume ls --quiet --filter label=dynoform.stack={stack}) || exit
for name in $found; do as_root docker volume rm "$name" || exit; done
"""
"""Prints each volume that it has removed, as the docker client does."""


def remove_data(hosts: Mapping[str, Any], stack: str) -> Iterator[str]:
    """Removes what databases and the store have on these hosts; yields a line for each thing, and each failure."""
    script = _DATA.replace("{stack}", stack)
    for name, host in hosts.items():
        try:
            done = run(Command(_words(host, script), timeout=SECONDS))
        except DynoformError as error:
            yield f"! {error}"
            continue
        yield from (f"✓ volume {volume} on {name} removed" for volume in done.stdout.split())
        if done.code:
            yield f"! host {name}: what databases have there could not be removed: {done.last_words}"


def _words(host: Mapping[str, Any], script: str) -> list[str]:
    return [*command(host_settings.ssh_address(host), host_settings.ssh_options(host)), script]


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
        done = run(Command(_words(host, RIGHTS), timeout=SECONDS))
    except DynoformError as error:
        return error
    if done.code == 0:
        return None
    at = f"host {name} ({address.removeprefix('ssh://')})"
    if done.code == 255:  # SSH's own
        return DynoformError(at, f"SSH does not get in: {done.last_words}", "see its address, user, port and keyFile")
    return DynoformError(at, f"has no root's rights there: {done.last_words}", "let it use sudo without a password")
