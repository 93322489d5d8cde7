"""Ansible's progress as JSON lines on stdout, for ``providers/dynoform/ansible_run.py``.

Lines: ``{"event": "task", "task": …}``, ``{"event": "changed", "host": …, "task": …}``,
``{"event": "failed", "host": …, "task": …, "message": …}`` and at last ``{"event": "end", "facts": {…}}``.
Results themselves are never printed: they may hold secrets.
"""

import json
import sys
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: dynoform_events
    type: stdout
    short_description: Progress as JSON lines
    description: Prints one JSON object a line for tasks, changes, failures and the facts of set_stats.
"""

SKIPPED_BY_CHECK = "Command would have run if not in check mode"
"""What ansible.builtin.command and shell answer then; they report no change."""


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible publishes no types
    """Prints one JSON object a line."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "dynoform_events"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        _write("task", task=task.get_name().strip())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler begins."""
        _write("task", task=task.get_name().strip())

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task ended well; only changes are told."""
        if result.is_changed():
            _write("changed", **_where(result))

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A task was skipped. A command that only check mode kept from running would have changed something."""
        results = result.result.get("results") or [result.result]
        if any(each.get("msg") == SKIPPED_BY_CHECK for each in results):
            _write("changed", **_where(result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        if not ignore_errors:
            _write("failed", **_where(result), message=_message(result.result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host did not answer."""
        _write("failed", **_where(result), message=_message(result.result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The end, with what ``set_stats`` collected under the name ``dynoform``."""
        _write("end", facts=stats.custom.get("_run", {}).get("dynoform", {}))


def _where(result: Any) -> dict[str, str]:
    return {"host": result.host.get_name(), "task": result.task.get_name().strip()}


def _message(result: dict[str, Any]) -> str:
    """The shortest text that says why: the module's message, and what the command printed on stderr."""
    failed_items = [item for item in result.get("results", []) if item.get("failed")]
    if failed_items:
        return _message(failed_items[0])
    message = str(result.get("msg") or "").strip()
    printed = str(result.get("stderr") or result.get("module_stderr") or "").strip()
    last_line = printed.splitlines()[-1] if printed else ""
    if last_line and last_line not in message:
        return f"{message}: {last_line}"
    return message or "failed without a message"


def _write(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}, default=str) + "\n")
    sys.stdout.flush()
