"""The steps of a role that need a host to answer, read from its tasks in the order in which they run."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
INCLUDES = ("ansible.builtin.include_role", "ansible.builtin.include_tasks")
HERE = {f"ansible.builtin.{name}" for name in ("assert", "debug", "fail", "group_by", "set_fact")}
"""Modules that ask no host."""
STATES = ("drained", "active")
"""Task files that are named after the state that they bring about."""


@dataclass(frozen=True)
class Step:
    """A task that asks a host.

    Parameters:
        name: the task's.
        time: which of its name it is in the run, from 1.
        host: who has to answer: the host that the run is about, or the one that the task is delegated to.
    """

    name: str
    time: int
    host: str


def steps(role: str, *files: str, host: str, asked: str, without: Collection[str] = ()) -> list[Step]:
    """Those of task files of a role, if nothing fails.

    Parameters:
        role: its name.
        files: of its tasks, as they are played.
        host: whom the run is about.
        asked: whom all tasks are delegated to that are.
        without: names of tasks that are skipped, with what they include.
    """
    times: Counter[str] = Counter()
    found = []
    for file in files:
        for task in _tasks(role, file, {}, without):
            times[task["name"]] += 1
            found.append(Step(task["name"], times[task["name"]], asked if "delegate_to" in task else host))
    return found


def _tasks(role: str, file: str, told: Mapping[str, Any], without: Collection[str]) -> Iterator[dict[str, Any]]:
    """All tasks that ask a host, those of included files and roles too; the role is ``told`` these variables."""
    for task in yaml.safe_load((ROLES / role / f"tasks/{file}.yml").read_text()):
        yield from _asking(role, task, told, without)


def _asking(
    role: str, task: dict[str, Any], told: Mapping[str, Any], without: Collection[str]
) -> Iterator[dict[str, Any]]:
    name, included = next(((name, task[name]) for name in INCLUDES if name in task), ("", None))
    if task.get("name") in without:
        return
    if "block" in task:
        for each in task["block"]:
            yield from _asking(role, each, told, without)
    elif name == "ansible.builtin.include_tasks":
        file = str(included).removesuffix(".yml")
        # The one file or the other, by the variable that says which.
        if file not in STATES or told.get(f"{role}_state") in (None, file):
            yield from _tasks(role, file, told, without)
    elif included:
        yield from _tasks(included["name"], included.get("tasks_from", "main"), task.get("vars", {}), without)
    elif not HERE & set(task):
        yield task
