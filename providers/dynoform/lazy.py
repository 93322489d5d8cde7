"""Resources that are imported when they are first asked for: a program that has certificates alone brings no AWS."""

import importlib
import threading
from collections.abc import Iterator, Mapping

from .resource import Resource


class Lazy(Mapping[str, Resource]):
    """Class name → the resource, made once."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        """``modules``: class name → its module, relative to this package."""
        self._modules = modules
        self._made: dict[str, Resource] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Resource:
        """Raises ``KeyError`` for what there is not."""
        module = self._modules[name]
        with self._lock:
            if name not in self._made:
                self._made[name] = getattr(importlib.import_module(f".{module}", __package__), name)()
            return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """All names."""
        return iter(self._modules)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._modules)
