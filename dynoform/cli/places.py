"""Where things are kept: the checkout, the operator's data, the cache."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = "dynoform"
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """Directories: `root` is the checkout; outside it are `data` (state, passphrase) and `cache` (may go any time)."""

    root: Path
    data: Path
    cache: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Places":
        """Places as ``DYNOFORM_HOME``, ``DYNOFORM_CACHE`` or the XDG variables say."""
        env = os.environ if environ is None else environ
        home = Path(env.get("HOME") or os.path.expanduser("~"))
        data = env.get("DYNOFORM_HOME") or Path(env.get("XDG_DATA_HOME") or home / ".local/share") / PROJECT
        cache = env.get("DYNOFORM_CACHE") or Path(env.get("XDG_CACHE_HOME") or home / ".cache") / PROJECT
        return cls(CHECKOUT, Path(data).absolute(), Path(cache).absolute())

    @property
    def venv(self) -> Path:
        """The checkout's virtualenv, made by the launcher."""
        return self.root / ".venv"

    @property
    def pulumi(self) -> Path:
        """The Pulumi CLI that this checkout uses."""
        return self.venv / "bin" / "pulumi"

    @property
    def pulumi_home(self) -> Path:
        """Pulumi's own directory: plugins, credentials of backends."""
        return self.data / "pulumi-home"

    @property
    def state(self) -> Path:
        """The default backend: one file per stack below it."""
        return self.data / "state"

    @property
    def passphrase(self) -> Path:
        """The file that the state's secrets are encrypted with."""
        return self.data / "passphrase"

    def stack(self, name: str) -> Path:
        """What belongs to one stack: logs, lock, certificate of its authority."""
        return self.data / "stacks" / name

    def make(self) -> None:
        """Makes the data and cache directories, the former readable by their owner alone."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.cache.mkdir(parents=True, exist_ok=True)
