import uuid
from pathlib import Path

import pytest

from dynoform.domain.routes import RoutedApp, WebDyno, compute
from dynoform.router.files import Directory, Files
from dynoform.router.rendering import Rendered, render

A = uuid.UUID(int=0xA)


def rendered(*ports: int, name: str = "shop") -> Rendered:
    dynos = [WebDyno(uuid.UUID(int=n << 96), A, n, "up", "172.29.0.1", port) for n, port in enumerate(ports, start=1)]
    return render(compute([RoutedApp(A, name)], dynos, "localhost"))


def backend(text: str, name: str) -> list[str]:
    block = text.partition(f"\nbackend {name}\n")[2].partition("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


def section(text: str, title: str) -> list[str]:
    return [line.strip() for line in text.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()]


def test_each_app_has_a_backend_that_draws_a_random_dyno() -> None:
    assert backend(rendered(20001, 20002).configuration, f"app_{A} from dynos") == [
        'balance "${DYNOFORM_BALANCE}"',
        "retries 1",
        "timeout connect 1s",
        "server web.1:00000001 172.29.0.1:20001 weight 64",
        "server web.2:00000002 172.29.0.1:20002 weight 64",
    ]
    assert backend(rendered(20001).configuration, f"app_{A} from dynos") == [
        'balance "${DYNOFORM_BALANCE}"',
        "retries 0",
        "server web.1:00000001 172.29.0.1:20001",
    ]


@pytest.mark.parametrize(("dynos", "retries"), [(1, 0), (2, 1), (10, 9), (30, 9)])
def test_each_of_up_to_ten_dynos_is_asked_once(dynos: int, retries: int) -> None:
    lines = backend(rendered(*range(20001, 20001 + dynos)).configuration, f"app_{A} from dynos")
    assert f"retries {retries}" in lines


def test_the_times_are_herokus() -> None:
    common = section(rendered(20001).configuration, "defaults common")
    for name, seconds in (
        ("connect", 5),
        ("http-request", 30),
        ("server", 30),
        ("client", 55),
        ("tunnel", 55),
        ("http-keep-alive", 90),
    ):
        assert f"timeout {name} {seconds}s" in common
    assert "http-response set-timeout server 55s" in section(
        rendered(20001).configuration, "defaults dynos from common"
    )


def test_what_an_app_chose_is_in_its_backend() -> None:
    app = RoutedApp(A, "shop", affinity=True, closes=True, error_page="https://x.example/?a=1&b=<")
    dynos = [WebDyno(uuid.UUID(int=n << 96), A, n, "up", "172.29.0.1", 20000 + n) for n in (1, 2)]
    found = render(compute([app], dynos, "localhost"))
    assert f"/error/{A} https://x.example/?a=1&amp;b=&lt;\n" in found.hosts
    assert backend(found.configuration, f"app_{A} from dynos_own_page")[3:] == [
        'cookie heroku-session-affinity insert indirect nocache httponly attr "Max-Age=86400"',
        "option http-server-close",
        "server web.1:00000001 172.29.0.1:20001 weight 64 cookie 00000001",
        "server web.2:00000002 172.29.0.1:20002 weight 64 cookie 00000002",
    ]


def test_the_generations_name_exactly_this_content() -> None:
    one, same, other, renamed = rendered(20001), rendered(20001), rendered(20002), rendered(20001, name="other")
    assert one == same
    assert one.generation != other.generation
    assert f"set-var proc.generation str({one.generation})" in one.configuration
    assert one.hosts.startswith(f"/generation {one.hosts_generation}\n")
    # A name is in the map alone, which a running HAProxy exchanges: no reload for it.
    assert (renamed.generation, renamed.configuration) == (one.generation, one.configuration)
    assert renamed.hosts_generation != one.hosts_generation == other.hosts_generation


def test_an_app_without_dynos_changes_the_map_alone() -> None:
    app, none = RoutedApp(A, "shop"), RoutedApp(uuid.UUID(int=0xB), "empty")
    dynos = [WebDyno(uuid.UUID(int=1), A, 1, "up", "172.29.0.1", 20001)]
    one, two = render(compute([app], dynos, "localhost")), render(compute([app, none], dynos, "localhost"))
    assert one.configuration == two.configuration
    assert f"empty.localhost {none.id}|no_dynos\n" in two.hosts


def test_the_apis_own_certificate_is_served_beside_the_stacks() -> None:
    without, first, second = (render(compute([], [], "localhost"), pem) for pem in (None, "one", "two"))
    assert "crt /run/secrets/router.pem alpn" in without.configuration
    assert "crt /run/secrets/router.pem crt /var/lib/dynoform/router/api.pem alpn" in first.configuration
    assert (first.generation, first.configuration) == (second.generation, second.configuration)


def files(of: Rendered) -> Files:
    return Files(of.configuration, of.hosts)


def test_the_files_are_replaced_and_can_be_put_back(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    first, second = files(rendered(20001)), files(rendered(20002, name="other"))
    assert directory.current() == Files(None, None)
    directory.write(first)
    assert directory.current() == first
    directory.write(second)
    assert directory.current() == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["haproxy.cfg", "hosts.map"]
    assert (tmp_path / "haproxy.cfg").stat().st_mode & 0o777 == 0o644
    directory.write(Files(None, None))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_change_is_not_written(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.write(files(rendered(20001)))
    before = (tmp_path / "haproxy.cfg").stat().st_ino
    directory.write(files(rendered(20001, name="other")))
    assert (tmp_path / "haproxy.cfg").stat().st_ino == before
