import uuid
from pathlib import Path

import pytest

from dynoform.domain.routes import RoutedApp, WebDyno, compute
from dynoform.router.files import Directory
from dynoform.router.rendering import Rendered, render

A = uuid.UUID(int=0xA)


def rendered(*ports: int, name: str = "shop") -> Rendered:
    dynos = [WebDyno(uuid.UUID(int=n << 96), A, n, "up", "172.29.0.1", port) for n, port in enumerate(ports, start=1)]
    return render(compute([RoutedApp(A, name)], dynos, "localhost"))


def backend(text: str, name: str) -> list[str]:
    block = text.partition(f"\nbackend {name}\n")[2].partition("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


def test_each_app_has_a_backend_that_draws_a_random_dyno() -> None:
    assert backend(rendered(20001, 20002).configuration, f"app_{A}") == [
        "balance random(1)",
        "retries 10",
        "timeout connect 1s",
        "http-response set-timeout server 55s",
        "server web.1:00000001 172.29.0.1:20001 weight 64",
        "server web.2:00000002 172.29.0.1:20002 weight 64",
    ]


@pytest.mark.parametrize(("dynos", "retries"), [(1, 1), (2, 10), (30, 10)])
def test_a_lone_dyno_is_retried_once_others_ten_times(dynos: int, retries: int) -> None:
    lines = backend(rendered(*range(20001, 20001 + dynos)).configuration, f"app_{A}")
    assert f"retries {retries}" in lines


def test_the_generation_names_exactly_this_content() -> None:
    one, same, other, renamed = rendered(20001), rendered(20001), rendered(20002), rendered(20001, name="other")
    assert one == same
    assert len({one.generation, other.generation, renamed.generation}) == 3
    assert f"set-var proc.generation str({one.generation})" in one.configuration
    assert one.hosts_name in one.configuration


def test_the_files_are_replaced_together_and_old_maps_go(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    first, second = rendered(20001), rendered(20001, name="other")
    assert directory.current() is None
    directory.write(first)
    assert directory.holds(first)
    directory.write(second)
    assert (directory.holds(first), directory.holds(second)) == (False, True)
    directory.tidy(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["haproxy.cfg", second.hosts_name])
    assert (tmp_path / "haproxy.cfg").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / second.hosts_name).read_text() == second.hosts


def test_an_earlier_configuration_can_be_put_back(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.write(rendered(20001))
    directory.restore("earlier\n")
    assert directory.current() == "earlier\n"
    directory.restore(None)
    assert directory.current() is None
