"""In which order a running HAProxy is told of changes: each moment between has to be right as well."""

import uuid
from collections.abc import Iterable
from typing import cast

import pytest

from dynoform.domain.routes import RoutedApp, Routes, WebDyno, compute
from dynoform.router.haproxy import Master
from dynoform.router.layout import Layout
from dynoform.router.memory import Memory

A = uuid.UUID(int=0xA)


class Noting:
    """A master that does what it is told, and keeps it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def run(self, commands: Iterable[str]) -> list[str]:
        self.told += [command.replace("/var/lib/dynoform/router/hosts.map ", "") for command in commands]
        return []


def routes(dynos: int) -> Routes:
    web = [
        WebDyno(uuid.UUID(int=number << 96), A, number, "up", "172.29.0.1", 20000 + number) for number in range(dynos)
    ]
    return compute([RoutedApp(A, "shop")], web, "localhost")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (1, 2, ["add map 0/{A}", "add map 1/{A}", "set map shop.localhost"]),
        (2, 3, ["add map 2/{A}", "set map shop.localhost"]),
        (3, 2, ["set map shop.localhost", "del map 2/{A}"]),
        (2, 1, ["set map shop.localhost", "del map 0/{A}", "del map 1/{A}"]),
        (2, 0, ["set map shop.localhost", "del map 0/{A}", "del map 1/{A}"]),
    ],
)
def test_what_a_name_leads_to_is_there_before_and_goes_after(before: int, after: int, told: list[str]) -> None:
    layout, master = Layout(), Noting()
    layout.put(routes(before).apps, routes(before).api)
    memory = Memory.loaded(cast(Master, master), layout)
    changed = layout.put(routes(after).apps, routes(after).api)
    assert memory.become(layout, changed) == []
    *first, last = [" ".join(command.split()[:3]) for command in master.told]
    assert first == [each.format(A=A) for each in told]
    assert last == "set map /generation", "it says that all is there"
    assert memory.become(layout, {}) == []
    assert len(master.told) == len(told) + 2
