"""Playbook: a playbook on one host as a resource; ``pulumi up`` runs it when anything that it is made of changed."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from .ansible_run import ROOT, Host, Outcome, run_playbook
from .engine import Operation
from .errors import InputError, PartialError, ProviderError
from .resource import Difference, Resource, Values
from .values import UNKNOWN

HOST_KEYS = frozenset({"name", "address", "connection"})
"""Of a host's keys, those that say which host it is: with another value of one the playbook is for another host."""
SSH_KEYS = frozenset({"user", "port", "key_file", "known_hosts", "jump"})
"""Those that only say how it is reached; each may be left out."""
CONNECTIONS = ("local", "ssh")
ROLE_KEYS = ("ansible.builtin.include_role", "ansible.builtin.import_role")


class Playbook(Resource):
    """Inputs ``playbook``, ``host``, ``beside``, ``variables``, ``secretVariables``, ``absentPlaybook``.

    ``beside`` are hosts that tasks may be delegated to.

    Outputs ``facts``, ``changed`` and ``drift``. ``contentHash`` is filled in here: a changed playbook or role is a
    changed input. ``drift`` has the names of tasks that a refresh found would change something; the next update runs
    the playbook then.
    """

    required: ClassVar = {"playbook": str, "host": dict}
    optional: ClassVar = {
        "beside": [],
        "variables": {},
        "secretVariables": {},
        "absentPlaybook": "",
        "contentHash": "",
    }
    computed: ClassVar = ("facts", "changed", "drift")
    secret: ClassVar = frozenset({"secretVariables"})
    replacing: ClassVar = frozenset({"host"})

    def check(self, inputs: Values) -> Values:
        """Refuses playbooks that are not there and hosts that cannot be reached; hashes the content."""
        checked = super().check(inputs)
        for host in (checked["host"], *([] if checked["beside"] is UNKNOWN else checked["beside"])):
            _check_host(host)
        names = [name for name in (checked["playbook"], checked["absentPlaybook"]) if isinstance(name, str) and name]
        for property_name in ("playbook", "absentPlaybook"):
            name = checked[property_name]
            if isinstance(name, str) and name and not (ROOT / name).is_file():
                raise InputError(
                    property_name, f"is {name!r}, which is not in the project", "give a path such as playbooks/host.yml"
                )
        return {**checked, "contentHash": content_hash(ROOT, names)}

    def diff(self, olds: Values, news: Values) -> Difference:
        """Also differs, by ``drift``, when a refresh found that the host is not as declared."""
        found = super().diff(olds, news)
        if "host" in found.replaces and _same_host(olds["host"], news["host"]):
            found = Difference(found.changed | {"host"}, found.replaces - {"host"})
        return Difference(found.changed | {"drift"}, found.replaces) if olds.get("drift") else found

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Runs the playbook. A failed run is kept in the state, so that what it made can be removed."""
        identifier = f"{inputs['host']['name']}:{inputs['playbook']}"
        try:
            return identifier, _outputs(inputs, self._run(operation, inputs))
        except ProviderError as error:
            raise PartialError(error, identifier, {**_outputs(inputs, Outcome()), "drift": [str(error)]}) from error

    def read(self, operation: Operation, identifier: str, state: Values) -> Values | None:
        """A run in check mode: what it would change is the drift. A host that does not answer is drift as well."""
        if not state:
            raise ProviderError(identifier, "a playbook cannot be imported", "declare it and run 'pulumi up'")
        try:
            drift = self._run(operation, state, check=True).changes
        except ProviderError as error:
            drift = [str(error)]
        return {**state, "drift": drift}

    def update(self, operation: Operation, identifier: str, olds: Values, news: Values) -> Values:
        """Runs the playbook again."""
        try:
            return _outputs(news, self._run(operation, news))
        except ProviderError as error:
            raise PartialError(error, identifier, {**olds, "drift": [str(error)]}) from error

    def delete(self, operation: Operation, identifier: str, state: Values) -> None:
        """Runs ``absentPlaybook``, if there is one, with the same variables."""
        if state.get("absentPlaybook"):
            self._run(operation, {**state, "playbook": state["absentPlaybook"]})

    @staticmethod
    def _run(operation: Operation, values: Values, *, check: bool = False) -> Outcome:
        variables = {**values["variables"], **values["secretVariables"]}
        # A state of before there were several hosts has none beside.
        beside = [Host(**host) for host in values.get("beside", ())]
        host = Host(**values["host"])
        return run_playbook(operation, values["playbook"], host, variables, beside=beside, check=check)


def content_hash(root: Path, playbooks: Iterable[str]) -> str:
    """SHA-256 over the playbooks, the roles they use and Ansible's settings: names and contents.

    READMEs are left out, and what Python compiled of a role's programs: neither is what a host becomes.
    """
    digest = hashlib.sha256()
    for path in sorted({root / "ansible.cfg", *_content(root, playbooks)}):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _content(root: Path, playbooks: Iterable[str]) -> set[Path]:
    files, pending = set[Path](), [root / name for name in playbooks]
    while pending:
        path = pending.pop()
        if path in files:
            continue
        files.add(path)
        if path.suffix in (".yml", ".yaml"):
            for role in _roles(yaml.safe_load(path.read_text())):
                pending += [file for file in (root / "roles" / role).rglob("*") if file.is_file() and _counts(file)]
    return files


def _counts(file: Path) -> bool:
    return file.name != "README.md" and "__pycache__" not in file.parts


def _roles(node: Any) -> set[str]:
    """Names of roles anywhere in a playbook or task file."""
    if isinstance(node, list):
        return set[str]().union(*(_roles(item) for item in node))
    if not isinstance(node, dict):
        return set()
    named = [role if isinstance(role, str) else role["role"] for role in node.get("roles") or () if role]
    named += [node[key]["name"] for key in ROLE_KEYS if key in node]
    plain = {name for name in named if re.fullmatch(r"[a-z][a-z0-9_]*", name)}
    return plain.union(*(_roles(value) for value in node.values() if isinstance(value, list)))


def _check_host(host: Any) -> None:
    if host is UNKNOWN:
        return
    if not HOST_KEYS <= set(host) <= HOST_KEYS | SSH_KEYS:
        wanted = f"give {', '.join(sorted(HOST_KEYS))}, and of {', '.join(sorted(SSH_KEYS))} what SSH needs"
        raise InputError("host", f"has the keys {', '.join(sorted(host))}", wanted)
    if host["connection"] is not UNKNOWN and host["connection"] not in CONNECTIONS:
        raise InputError("host", f"has the connection {host['connection']!r}", f"use {' or '.join(CONNECTIONS)}")


def _same_host(old: Any, new: Any) -> bool:
    return UNKNOWN not in (old, new) and all(old.get(key) == new.get(key) for key in HOST_KEYS)


def _outputs(inputs: Values, outcome: Outcome) -> Values:
    # Facts may be floats or tuples after Ansible's templating: what is stored is what JSON keeps of them.
    facts = json.loads(json.dumps(outcome.facts))
    return {**inputs, "facts": facts, "changed": bool(outcome.changes), "drift": []}
