"""What every command is given."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynoform.cli.console import Console
from dynoform.cli.places import Places
from dynoform.cli.stack import Stack


@dataclass(frozen=True)
class Context:
    """Places, environment and console of this run."""

    places: Places
    environ: Mapping[str, str]
    console: Console

    @classmethod
    def of_process(cls) -> "Context":
        """The context of this process."""
        environ = dict(os.environ)
        places = Places.from_environment(environ)
        places.make()
        return cls(places, environ, Console(environ))

    def stack(self, name: str, backend: str | None = None) -> Stack:
        """The stack called `name`, see `Stack.of`."""
        return Stack.of(name, self.places, self.environ, backend)

    def stacks(self) -> list[str]:
        """Names of the stacks that this machine has seen."""
        return sorted(path.name for path in Path(self.places.data / "stacks").glob("*") if path.is_dir())
