import uuid
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from dynoform.domain.routes import CustomDomain, RoutedApp, Routes, WebDyno, compute
from dynoform.router.files import Directory, Files
from dynoform.router.layout import Layout
from dynoform.router.rendering import SERVER, base

A, B = uuid.UUID(int=0xA), uuid.UUID(int=0xB)


def dyno(app: uuid.UUID, number: int, port: int) -> WebDyno:
    return WebDyno(uuid.UUID(int=port << 96), app, number, "up", "172.29.0.1", port)


def wanted(*dynos: WebDyno, names: Iterable[str] = ()) -> Routes:
    domains = [CustomDomain(name, A) for name in names]
    return compute([RoutedApp(A, "shop"), RoutedApp(B, "blog")], dynos, "localhost", domains)


def laid_out(routes: Routes) -> Layout:
    layout = Layout()
    layout.rearrange(routes.apps.values())
    layout.put(routes.apps, routes.api)
    return layout


def lines(layout: Layout, backend: str) -> list[str]:
    block = layout.sections.partition(f"\nbackend {backend} from dynos\n")[2].partition("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


def test_the_dynos_of_an_app_of_several_stand_in_the_map_by_numbers() -> None:
    layout = laid_out(wanted(dyno(A, 1, 20001), dyno(A, 2, 20002), names=["www.example.com"]))
    assert (
        f"0/{A} 172.29.0.1/20001/web.1\n"
        f"1/{A} 172.29.0.1/20002/web.2\n"
        f"shop.localhost {A}|several|2\n"
        f"www.example.com {A}|several|2\n"
    ) in layout.hosts
    assert layout.sections == ""


def test_where_clients_stay_with_a_dyno_the_app_has_a_backend_of_its_own() -> None:
    dynos = [dyno(A, 1, 20001), dyno(A, 2, 20002)]
    plain, sticky = (
        compute([RoutedApp(A, "shop", affinity=affinity)], dynos, "localhost") for affinity in (False, True)
    )
    layout = Layout()
    assert layout.needs_backends(plain.apps.values()) is False
    assert layout.needs_backends(sticky.apps.values()) is True
    layout.rearrange(sticky.apps.values())
    layout.put(sticky.apps, sticky.api)
    assert lines(layout, f"sticky_{A}") == [
        'balance "${DYNOFORM_BALANCE}"',
        'cookie heroku-session-affinity insert indirect nocache httponly attr "Max-Age=86400"',
        f"server web.1:00004e21 172.29.0.1:20001 {SERVER} cookie 00004e21",
        f"server web.2:00004e22 172.29.0.1:20002 {SERVER} cookie 00004e22",
    ]
    assert f"shop.localhost {A}|sticky_{A}\n" in layout.hosts
    anew = Layout(layout.sections)
    assert anew.needs_backends(sticky.apps.values()) is False
    anew.put(plain.apps, plain.api)
    assert len(lines(anew, f"sticky_{A}")) == 2, "it stays until another one is needed"
    generations = {
        base(each.backends, api_certificate=False, apps_certificate=False).generation for each in (layout, Layout())
    }
    assert len(generations) == 2


def test_the_times_and_limits_are_herokus() -> None:
    text = base((), api_certificate=False, apps_certificate=False).configuration
    for line in (
        *(f"timeout {name}s" for name in ("connect 5", "http-request 30", "server 30", "client 55", "tunnel 55")),
        "timeout http-keep-alive 90s",
        "retries 9",
        "http-response set-timeout server 55s",
        "tune.http.maxhdr 1000",
    ):
        assert f"    {line}\n" in text
    assert "if { nbsrv,mul(200),sub(txn.open) lt 0 }" in text
    assert "if { int(1),mul(200),sub(txn.open) lt 0 }" in text
    assert "if { var(txn.dynos),mul(200),sub(txn.open) lt 0 }" in text


def test_a_lone_dyno_stands_in_the_map() -> None:
    one, two = dyno(A, 1, 20001), dyno(A, 1, 20002)
    assert f"shop.localhost {A}|lone|172.29.0.1/20001/web.1\n" in laid_out(wanted(one)).hosts
    both = laid_out(wanted(one, two, names=["www.example.com"]))
    value = f"{A}|lone|172.29.0.1/20001/web.1|172.29.0.1/20002/web.1"
    assert f"shop.localhost {value}\nwww.example.com {value}\n" in both.hosts
    assert "    server " not in both.sections
    assert f"blog.localhost {B}|no_dynos\n" in both.hosts
    assert "api.localhost -|api\n" in both.hosts


def test_changes_give_what_all_of_it_anew_gives() -> None:
    steps = [
        wanted(),
        wanted(dyno(A, 1, 20001)),
        wanted(dyno(A, 1, 20001), dyno(A, 2, 20002), names=["www.example.com", "*.example.com"]),
        wanted(dyno(A, 2, 20002), dyno(A, 3, 20003), dyno(B, 1, 20004), names=["www.example.com"]),
        Routes(wanted().api, {A: wanted(dyno(A, 1, 20001)).apps[A]}),
    ]
    changing = laid_out(steps[0])
    for before, after in pairwise(steps):
        gone = dict.fromkeys(before.apps.keys() - after.apps.keys())
        changed = changing.put({**gone, **after.apps}, after.api)
        assert set(changed) == {str(app) for app in (A, B) if before.apps.get(app) != after.apps.get(app)}
        anew = Layout(changing.sections)
        anew.put(after.apps, after.api)
        assert (anew.hosts, anew.digest, anew.sections) == (changing.hosts, changing.digest, changing.sections)


def test_the_digests_name_exactly_this_content() -> None:
    one, same, other, named = (
        laid_out(wanted(dyno(A, 1, port), names=names))
        for port, names in ((20001, []), (20001, []), (20002, []), (20001, ["www.example.com"]))
    )
    assert (one.digest, one.hosts) == (same.digest, same.hosts)
    assert len({one.digest, other.digest, named.digest}) == 3
    assert one.hosts.startswith(f"/generation {one.digest}\n")
    plain, backend = (
        base((), api_certificate=False, apps_certificate=False),
        base(("app_1",), api_certificate=False, apps_certificate=False),
    )
    assert plain.generation != backend.generation
    assert f"set-var proc.generation str({plain.generation})" in plain.configuration


def test_the_apis_own_certificate_is_served_beside_the_stacks() -> None:
    without, own = (base((), api_certificate=own, apps_certificate=False) for own in (False, True))
    assert "crt /run/secrets/router.pem alpn" in without.configuration
    assert "crt /run/secrets/router.pem crt /var/lib/dynoform/router/api.pem alpn" in own.configuration
    assert without.generation != own.generation


def files(layout: Layout) -> Files:
    return Files(
        base(layout.backends, api_certificate=False, apps_certificate=False).configuration + layout.sections,
        layout.hosts,
    )


@pytest.fixture
def two() -> tuple[Files, Files]:
    first = laid_out(wanted(dyno(A, 1, 20001), dyno(A, 2, 20002)))
    return files(first), files(laid_out(wanted(dyno(A, 1, 20001), dyno(A, 2, 20003), names=["www.example.com"])))


def test_the_files_are_replaced_and_can_be_put_back(tmp_path: Path, two: tuple[Files, Files]) -> None:
    directory = Directory(tmp_path)
    first, second = two
    assert directory.current() == Files(None, None)
    directory.write(first)
    assert directory.current() == first
    directory.write(second)
    assert directory.current() == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["haproxy.cfg", "hosts.map"]
    assert (tmp_path / "haproxy.cfg").stat().st_mode & 0o777 == 0o644
    directory.write(Files(None, None))
    assert list(tmp_path.iterdir()) == []


def test_what_others_write_into_the_files_is_seen(tmp_path: Path, two: tuple[Files, Files]) -> None:
    directory = Directory(tmp_path)
    directory.write(two[0])
    assert directory.current() == two[0]
    (tmp_path / "hosts.map").write_text("nonsense\n")
    assert directory.current() == Files(two[0].configuration, "nonsense\n")


def test_a_file_that_does_not_change_is_not_written(tmp_path: Path, two: tuple[Files, Files]) -> None:
    directory = Directory(tmp_path)
    directory.write(two[0])
    before = (tmp_path / "haproxy.cfg").stat().st_ino
    directory.write(Files(two[0].configuration, two[1].hosts))
    assert (tmp_path / "haproxy.cfg").stat().st_ino == before
