"""Says what to do when a host is lost while it is drained: no task of a playbook can, since none runs after that."""

from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: what_next
    type: notification
    short_description: What to do about a host that was lost half-way
    description: Warns of a host that may be drained still, with the playbooks that go on or undo it.
"""

NEXT = {
    "kernel_patching": (
        "run patch_kernels.yml again with --extra-vars kernel_patching_lock_seconds=0, which goes on here; "
        "or undrain_host.yml to have it back as it is"
    ),
    "host_removal": "run remove_host.yml again, which goes on here; or replace_host.yml, if the host is dead",
    "host_drain": "run drain_host.yml again; or undrain_host.yml to have it back as it is",
}
"""Role → how its run is taken up again; the first that the task belongs to counts."""


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible publishes no types
    """Speaks of unreachable hosts only."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "what_next"

    def __init__(self, display: Any = None, options: Any = None) -> None:
        """Nothing was said yet."""
        super().__init__(display, options)
        self._role = ""

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Remembers whose step it is: a role that another one has included is at the other's work."""
        self._role = next((name for name in NEXT if name in _roles(task)), "")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host did not answer."""
        if self._role:
            host, task = result.host.get_name(), result.task.get_name().strip()
            asked = _delegate(result)
            self._display.warning(
                f"{host}: {asked + ' ' if asked else ''}was not reached at '{task}'. No further host is touched. "
                f"{host if asked else 'This one'} may be drained still "
                f"— see that SSH gets in, then {NEXT[self._role]}"
            )


def _delegate(result: Any) -> str:
    """Name of the other host that a task was to be done at; empty when it was the host itself."""
    other = str(result.task.delegate_to or "")
    return "" if other == result.host.get_name() else other


def _roles(task: Any) -> set[str]:
    """Names of the roles that a task is in."""
    names, at = set(), task
    while at is not None:
        role = getattr(at, "_role", None)
        if role is not None:
            names.add(role.get_name())
            names |= {each.get_name() for each in role.get_all_dependencies()}
        at = getattr(at, "_parent", None)
    return names
