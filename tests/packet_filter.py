"""Cutting containers off: packets that go nowhere in a container's own network."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Rule = Sequence[str]
"""A chain, then what it matches, as iptables has it."""
ALL_BUT_LOOPBACK: Sequence[Rule] = (["INPUT", "!", "--in-interface", "lo"], ["OUTPUT", "!", "--out-interface", "lo"])


@contextmanager
def dropped(rules: Sequence[tuple[Any, Rule]]) -> Iterator[None]:
    """What matches in the network of a container goes nowhere for the length of the block."""
    for container, rule in rules:
        _filter(container, "--append", rule)
    try:
        yield
    finally:
        for container, rule in rules:
            _filter(container, "--delete", rule)


def _filter(container: Any, action: str, rule: Rule) -> None:
    container.reload()
    pid = str(container.attrs["State"]["Pid"])
    words = ["nsenter", "--target", pid, "--net", "iptables", "--wait", action, *rule, "--jump", "DROP"]
    subprocess.run(words, check=True, timeout=30)
