"""What `up` would make of a stack that is not there yet, found out without making it."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dynoform.cli.deploy import OperationError
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack


@contextlib.contextmanager
def stand_in(stack: Stack, known: StackSettings) -> Iterator[Stack]:
    """A stack of the same name and configuration, empty, whose state and passphrase go with the block.

    The log of an operation that fails is kept in the cache.
    """
    with tempfile.TemporaryDirectory(prefix="dynoform-preview-") as folder:
        places = replace(stack.places, data=Path(folder))
        places.pulumi_home.symlink_to(stack.places.pulumi_home)
        if stack.places.passphrase.exists():
            # Values in the configuration may be encrypted with it.
            places.passphrase.symlink_to(stack.places.passphrase)
        other = Stack(stack.name, places, f"file://{places.state}", stack.environ)
        other.create(known)
        try:
            yield other
        except OperationError as error:
            kept = shutil.copy(error.log, stack.places.cache / f"preview-{stack.name}.log")
            raise OperationError(error.what, error.lines, Path(kept), error.next_step) from error
