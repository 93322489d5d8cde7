"""Whether hosts can be taken out of a stack: what they have needs a place on those that stay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dynoform.domain.placement import Board, Host, Placed, reserved_bytes
from dynoform.errors import ConflictError


@dataclass(frozen=True)
class Member:
    """A host of the stack, as the swarm has it.

    Parameters:
        host: as dynos are placed by it.
        address: its private IPv4 address, by which the settings name it.
        platform: whether it has the platform's own data.
        databases: add-ons that have a server there, or another part with data, which no other host can run.
    """

    host: Host
    address: str
    platform: bool = False
    databases: tuple[str, ...] = ()


def check(members: Iterable[Member], placed: Iterable[Placed], declared: Mapping[str, str], platform: str) -> None:
    """Raises ``ConflictError`` naming the host that the stack cannot do without, and why.

    Parameters:
        members: the stack's hosts.
        placed: their dynos.
        declared: private address of each host that the stack is to have → its runtime.
        platform: the address of the one that is to have the platform's data.
    """
    members = sorted(members, key=lambda each: each.host.name)  # the same is named each time
    for each in members:
        if each.platform and each.address != platform:
            why = "has the platform's PostgreSQL, registry and sources, which do not move to another host by themselves"
            next_step = "leave platform: true with it; to move them: bin/dynoform backup, down --purge, then restore"
            raise ConflictError(f"host {each.host.name}", why, next_step)
        if each.databases and each.address not in declared:
            why = f"has data of add-on {', '.join(sorted(each.databases))}, which do not move to another host"
            next_step = (
                "copy such a database (heroku addons:create --fork; of Kafka, make another cluster) and destroy it "
                "first, or leave the host's line"
            )
            raise ConflictError(f"host {each.host.name}", why, next_step)
    known = {each.address for each in members}
    # How much a host takes that is only being made, nobody knows yet.
    growing = {runtime for address, runtime in declared.items() if address not in known}
    gone = [each.host for each in members if each.address not in declared]
    board = Board((replace(each.host, draining=each.host.draining or each.host in gone) for each in members), placed)
    for host in gone:
        if host.alive and host.runtime not in growing:
            _check_room(board, host)


def _check_room(board: Board, host: Host) -> None:
    """Moves the host's dynos on the board as they would be, the largest first."""
    for dyno in sorted(board.on[host.id], key=lambda dyno: -reserved_bytes(dyno.size)):
        if not board.usable(host.runtime):
            why = f"is the last one of the runtime {host.runtime} that takes dynos, and has some"
            raise ConflictError(f"host {host.name}", why, "add or undrain another one first, or scale them to 0")
        target = board.choose(dyno.group, dyno.size, host.runtime)
        if target is None or not board.has_room(target, dyno.size):
            why = f"the others of the runtime {host.runtime} have no memory for its dynos ({dyno.size} is the first)"
            raise ConflictError(f"host {host.name}", why, "add a host first, or have fewer or smaller dynos")
        board.take(dyno)
        board.put(replace(dyno, host=target))
