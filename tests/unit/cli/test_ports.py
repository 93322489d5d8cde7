"""Ports that a stack needs: who has them is found out with real sockets; a running stack's own are free to it."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dynoform.cli import ports
from dynoform.cli.engine import Engine
from dynoform.cli.settings import StackSettings
from dynoform.errors import DynoformError
from tests.postgres import free_port

FIRST = 18500
VALUES = {
    "httpPort": 18480,
    "httpsPort": 18483,
    "listenAddress": "127.0.0.1",
    "platformPort": FIRST,
    "dynoSubnet": "172.29.96.0/22",
    "platformSubnet": "172.29.100.0/24",
}


class Lists:
    """The lists that an engine gives, as recorded from one: a stack's services and their containers."""

    def __init__(self, **environments: dict[str, int]) -> None:
        self.environments = {name.replace("_", "-"): values for name, values in environments.items()}
        self.published: dict[str, int] = {}
        self.others: list[dict[str, Any]] = []
        self.api = self

    def services(self, filters: dict[str, str] | None = None, status: bool = False) -> list[dict[str, Any]]:
        own = [{"ID": name, "Spec": {"Name": f"local_{name}"}} for name in self.environments]
        return own if filters else own + self.others

    def containers(self) -> list[dict[str, Any]]:
        names = {**dict.fromkeys(self.environments), **self.published}
        return [
            {
                "Id": name,
                "Labels": {"com.docker.swarm.service.name": f"local_{name}"},
                "Ports": [{"PrivatePort": 1, "PublicPort": port}] if port else [],
            }
            for name, port in names.items()
        ]

    def inspect_container(self, container: str) -> dict[str, Any]:
        values = self.environments.get(container, {})
        return {"Config": {"Env": [f"{name}={value}" for name, value in values.items()]}}


def check(tmp_path: Path, lists: Lists | None = None, **values: object) -> DynoformError | None:
    engine = Engine(lists, "local") if lists else None  # type: ignore[arg-type]
    return ports.check("local", StackSettings(tmp_path / "Pulumi.local.yaml", {**VALUES, **values}), engine)


@contextmanager
def taken(port: int = 0, address: str = "127.0.0.1") -> Iterator[int]:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port))
        holder.listen()
        yield int(holder.getsockname()[1])


def test_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with taken() as port:
        line = str(check(tmp_path, httpPort=port))
    assert line.startswith(f"httpPort 127.0.0.1:{port}: is taken by ")
    assert "(process " in line
    assert line.endswith("— stop that, or choose another: set dynoform:httpPort in Pulumi.local.yaml")


def test_free_ports_pass(tmp_path: Path) -> None:
    assert check(tmp_path, httpPort=free_port(), httpsPort=free_port()) is None


@pytest.mark.parametrize("number", range(7))
def test_ports_of_the_platform_are_looked_at_before_their_bridges_are_there(tmp_path: Path, number: int) -> None:
    with taken(FIRST + number, "0.0.0.0"):  # noqa: S104 - the point
        line = str(check(tmp_path))
    assert line.startswith("platformPort ")
    assert f":{FIRST + number}: is taken by " in line


def test_port_is_wanted_on_the_dynos_gateway_too() -> None:
    found = {(one.key, one.address) for one in ports.wanted(StackSettings(Path("x"), VALUES))}
    assert {("httpPort", "172.29.96.1"), ("httpsPort", "172.29.96.1"), ("platformPort", "172.29.100.1")} <= found


def test_port_that_the_stacks_own_router_holds_passes(tmp_path: Path) -> None:
    with taken() as port:
        assert check(tmp_path, Lists(router={"DYNOFORM_HTTP_PORT": port}), httpPort=port) is None


def test_running_router_with_another_port_does_not_excuse_a_taken_one(tmp_path: Path) -> None:
    with taken() as port:
        lists = Lists(router={"DYNOFORM_HTTP_PORT": 18480}, router_agent={"DYNOFORM_HTTP_PORT": port})
        assert f"httpPort 127.0.0.1:{port}: is taken by " in str(check(tmp_path, lists, httpPort=port))


def test_published_port_passes_only_for_the_service_that_has_it(tmp_path: Path) -> None:
    lists = Lists()
    with taken(FIRST, "0.0.0.0"):  # noqa: S104 - the point
        lists.published = {"registry": FIRST}
        assert check(tmp_path, lists) is None
        lists.published = {"postgres": FIRST}
        assert ": is taken by " in str(check(tmp_path, lists))


def test_port_that_another_stack_publishes_is_refused(tmp_path: Path) -> None:
    lists = Lists(router={})
    spec = {"Name": "staging_api", "EndpointSpec": {"Ports": [{"PublishedPort": FIRST + 2, "PublishMode": "host"}]}}
    lists.others = [{"ID": "x", "Spec": spec}]
    line = str(check(tmp_path, lists))
    assert line.startswith(
        f"platformPort 172.29.100.1:{FIRST + 2}: is published by the service staging_api — choose another"
    )


def test_address_that_the_host_has_not_is_told_as_such(tmp_path: Path) -> None:
    expected = (
        "listenAddress 192.0.2.7: is no address of this host — set dynoform:listenAddress in Pulumi.local.yaml to one"
    )
    assert str(check(tmp_path, listenAddress="192.0.2.7")).startswith(expected)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "has no right to bind it — run it as root"),
        (errno.ENOBUFS, "cannot be bound: No buffer space available — set another dynoform:httpPort"),
    ],
)
def test_other_refusals_have_words_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    refusal = OSError(number, "No buffer space available")
    monkeypatch.setattr(ports, "_problem", lambda one: refusal)
    line = str(check(tmp_path))
    assert line.startswith("httpPort 127.0.0.1:18480: ")
    assert words in line


def test_an_ipv6_address_is_bound_as_one(tmp_path: Path) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("IPv6 is missing: the kernel has none")
    assert check(tmp_path, listenAddress="::1", httpPort=free_port(), httpsPort=free_port()) is None


def test_what_keeps_ps_exec_from_its_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_exec(address: str) -> DynoformError | None:
        settings = StackSettings(tmp_path / "Pulumi.local.yaml", {**VALUES, "execAddress": address})
        return ports.check_exec("local", settings, None)

    with socket.socket() as holder:
        port = free_port()
        holder.bind(("127.0.0.1", port))
        holder.listen()
        monkeypatch.setattr(ports.stack_settings, "EXEC_PORT", port)
        assert check_exec("127.0.0.2") is None
        line = str(check_exec("127.0.0.1"))
        assert line.startswith(f"execAddress 127.0.0.1:{port}: is taken by ")
        assert line.endswith("— stop that, or choose another: set dynoform:execAddress in Pulumi.local.yaml")
        assert check_exec("") is None
    assert "execAddress 192.0.2.1: is no address of this host" in str(check_exec("192.0.2.1"))
