"""Who has the engine first, when two runs of the tests share it: the platform's, until it has made one and restarted
the engine, and then also that of the parts.
"""

import os

from dynoform.cli.commands.test import AWAITED, HELD


def end() -> None:
    """Let the other run begin, if this one is first. Its end, however it comes, does so too."""
    if descriptor := os.environ.pop(HELD, ""):
        os.close(int(descriptor))


def wait() -> None:
    """Wait for the run that is first, if this is the other."""
    if descriptor := os.environ.pop(AWAITED, ""):
        with os.fdopen(int(descriptor)) as pipe:
            pipe.read()
