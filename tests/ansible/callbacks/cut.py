"""Has a host not be reached any more from the moment when a task begins, for tests: see ``Machines.play_until``."""

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: cut
    type: notification
    short_description: A host that is lost at one step
    description: Removes the file CUT_FILE when the task CUT_TASK begins for the CUT_TIME-th time.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible publishes no types
    """Counts one task's beginnings."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "cut"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: Any = None, options: Any = None) -> None:
        """It has not begun yet."""
        super().__init__(display, options)
        self._times = 0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins, on whichever host."""
        if task.name == os.environ["CUT_TASK"]:
            self._times += 1
            if self._times == int(os.environ["CUT_TIME"]):
                Path(os.environ["CUT_FILE"]).unlink()
