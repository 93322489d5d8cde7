"""The one bridge to Ansible: a playbook on a host is a resource, run by the ``dynoform`` provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pulumi


@dataclass(frozen=True)
class HostArgs:
    """How Ansible reaches a host.

    Parameters:
        name: its name in messages.
        address: where it is.
        connection: Ansible's connection, ``local`` or ``ssh``.
        user, port: who logs in by SSH, and where.
        key_file: path of the private key; empty for those that SSH finds by itself.
        known_hosts: path of the file with the host's key; empty for the user's own.
        jump: ``user@host:port`` to go through.
    """

    name: str
    address: pulumi.Input[str] = "127.0.0.1"
    connection: str = "local"
    user: str = ""
    port: int = 0
    key_file: str = ""
    known_hosts: str = ""
    jump: str = ""

    def inputs(self) -> dict[str, Any]:
        """As the provider takes it: what is empty is left out."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: value for key, value in values.items() if isinstance(value, pulumi.Output) or value}


@dataclass(frozen=True)
class PlaybookArgs:
    """Parameters of ``Playbook``.

    Parameters:
        playbook: path relative to the project's root, such as ``playbooks/host.yml``.
        host: the host it runs on.
        variables: variables of the roles.
        secret_variables: the same for what must not be seen; they reach Ansible through a pipe only.
        beside: hosts that its tasks may be delegated to.
        absent_playbook: run with the same variables when the resource is deleted.
    """

    playbook: str
    host: HostArgs
    variables: Mapping[str, pulumi.Input[Any]]
    secret_variables: Mapping[str, pulumi.Input[Any]] = field(default_factory=dict)
    beside: Sequence[HostArgs] = ()
    absent_playbook: str | None = None


class Playbook(pulumi.CustomResource):
    """A playbook that has run on a host; it runs again when its variables, itself or its roles change."""

    facts: pulumi.Output[dict[str, Any]]
    """What the playbook told by a ``set_stats`` named ``dynoform``."""

    def __init__(self, name: str, args: PlaybookArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        properties: dict[str, Any] = {
            "playbook": args.playbook,
            "host": args.host.inputs(),
            "beside": [host.inputs() for host in args.beside],
            "variables": dict(args.variables),
            "secretVariables": pulumi.Output.secret(dict(args.secret_variables)),
            "absentPlaybook": args.absent_playbook,
            "facts": None,
        }
        super().__init__("dynoform:index:Playbook", name, properties, opts)

    def fact(self, name: str) -> pulumi.Output[Any]:
        """One of the facts; the run fails with a ``KeyError`` when the playbook did not tell it."""
        return self.facts.apply(lambda facts: facts[name])
