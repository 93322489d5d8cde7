"""The commands around the engine: grammar, exit codes, what they end with."""

import io
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dynoform.cli.bench import dynos, measures, page, platform
from dynoform.cli.bench.load import load
from dynoform.cli.bench.measure import Taken
from dynoform.cli.commands import completion, status, test, up
from dynoform.cli.places import CHECKOUT

OUTPUTS = {"apps": {"shop": "http://shop.localhost:8080"}, "apiUrl": "https://localhost:8443"}


def dynoform(tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environ = {"HOME": str(tmp_path), "PATH": os.defpath, "DYNOFORM_OFFICIAL": "never"}
    command = [sys.executable, "-P", "-m", "dynoform.cli", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_usage_errors_are_distinct(tmp_path: Path) -> None:
    assert dynoform(tmp_path, "upp").returncode == 2
    assert dynoform(tmp_path, "status", "--colour").returncode == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["up", "--stack", "Bad"],
            "error: --stack Bad: a stack's name is 1 to 20 lower-case letters, digits and hyphens",
        ),
        (["up", "--stack", "nobodys"], "error: stack nobodys: there is no "),
        (["env", "--stack", "nobodys"], "error: stack nobodys: does not exist — bin/dynoform up --stack nobodys"),
        (["bench", "speed"], "error: bench speed: is not a measurement — there are cold-up, "),
    ],
)
def test_failure_is_one_line_and_changes_nothing(tmp_path: Path, words: list[str], line: str) -> None:
    done = dynoform(tmp_path, *words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / ".local" / "share" / "dynoform" / "state").exists()


def test_wrong_key_stops_up_before_anything(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text("config:\n  dynoform:htpPort: 1\n", encoding="utf-8")
    done = dynoform(tmp_path, "up", "--yes", "--stack", "mine", "--config-file", str(file))
    expected = "error: Pulumi.mine.yaml: dynoform:htpPort: is not a setting — did you mean httpPort?\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_closing_words_tell_where_things_are() -> None:
    text = up.closing_words("local", OUTPUTS)
    assert "  app shop         http://shop.localhost:8080\n  API              https://localhost:8443\n" in text
    assert 'eval "$(bin/dynoform env)"' in text
    assert 'eval "$(bin/dynoform env --stack two)"' in up.closing_words("two", {})


CORES = list(test.ON_ALL_CORES)
OF_ENGINE = ["-m", test.ENGINE]
DYNOS = ["tests/integration/dynos", "tests/integration/router"]
PARTS = ["tests/integration", *(f"--ignore={folder}" for folder in DYNOS)]
ELSEWHERE = [f"--ignore=tests/{folder}" for folder in ("e2e", "integration", "fleet", "bench")]


@pytest.mark.parametrize(
    ("rest", "fast", "expected"),
    [
        ([], True, {"others": [*CORES, "-m", test.FAST, *ELSEWHERE]}),
        (
            ["-q"],
            False,
            {
                "others": [*CORES, "-m", test.REST, *ELSEWHERE, "-q"],
                "platform": [*OF_ENGINE, "tests/e2e", "-q"],
                "dynos": [*OF_ENGINE, *DYNOS, "-q"],
                "parts": [*OF_ENGINE, *PARTS, "-q"],
            },
        ),
        (["-k", "x"], True, {"tests": ["-m", test.FAST, "-k", "x"]}),
        (["tests/e2e"], False, {"tests": ["-m", test.FULL, "tests/e2e"]}),
        (["-m", "chaos"], False, {"tests": ["-m", "chaos"]}),
    ],
)
def test_all_tests_run_on_all_cores_but_for_those_of_the_one_engine(
    rest: list[str], fast: bool, expected: dict[str, list[str]]
) -> None:
    assert test.runs(rest, fast) == expected


def test_one_run_begins_when_the_other_lets_it(tmp_path: Path) -> None:
    awaited, held = os.pipe()
    ends = {"first": (test.HELD, held), "then": (test.AWAITED, awaited)}
    wanted = {
        "first": "sleep(0.5); print(1, file=file, flush=True); end(); sleep(30)",
        "then": "wait(); print(2, file=file)",
    }
    script = "from tests.turns import *; from time import sleep; import sys; file = open(sys.argv[2], 'a');"
    argv = {
        who: [sys.executable, "-c", f"{script} {what}", who, str(tmp_path / "file")] for who, what in wanted.items()
    }
    with (
        test.beside(argv["first"], CHECKOUT, os.environ, ends),
        test.beside(argv["then"], CHECKOUT, os.environ, ends) as finish,
    ):
        os.close(awaited)
        os.close(held)
        assert finish() == 0
    words = (tmp_path / "file").read_text(encoding="utf-8").split()
    assert words == ["1", "2"]


def test_what_runs_beside_is_shown_whole_when_it_has_ended(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    with test.beside(["sh", "-c", "echo one; echo two >&2; exit 3"], tmp_path, {}) as finish:
        print("meanwhile", flush=True)
        code = finish()
    assert (code, capfdbinary.readouterr().out) == (3, b"meanwhile\none\ntwo\n")


def test_what_runs_beside_ends_with_us(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), test.beside(["sleep", "60"], tmp_path, {}):
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30


def found_of(**more: Any) -> dict[str, Any]:
    service = {"name": "local_router", "running": 1, "wanted": 1, "image": "dynoform/router:1"}
    service |= {"uptime_seconds": 7300, "memory_bytes": 20 << 20}
    app = {"name": "shop", "web_url": "http://shop.localhost:8080", "dynos": [{"name": "web.1", "state": "up"}]}
    return {
        "stack": "local",
        "api": "https://localhost:8443",
        "services": [service],
        "apps": [app],
        "hosts": [],
        "memory_bytes": 20 << 20,
        "versions": {"docker": "20.10.24", "pulumi": None},
        "problems": [],
        **more,
    }


def test_status_shows_services_apps_and_problems() -> None:
    text = status.render(found_of(problems=["local_postgres: 0 of 1 run — docker service ps local_postgres"]))
    assert text.splitlines()[0] == "stack local  API https://localhost:8443  docker 20.10.24"
    assert "local_router  1/1      2 h  20 MiB  dynoform/router:1" in text
    assert "shop  web.1:up  http://shop.localhost:8080" in text
    assert text.endswith("! local_postgres: 0 of 1 run — docker service ps local_postgres")


def test_status_shows_hosts_as_far_as_they_are_known() -> None:
    free = {"free_memory_bytes": 3 << 30, "free_disk_bytes": 40 << 30}
    one = {"name": "one", "state": "open", "dynos": 7, "load": 0.5, "reported_at": "2026-01-01T00:00:00Z", **free}
    text = status.render(found_of(hosts=[one, {"name": "two", "state": "lost", "reported_at": None}]))
    assert "HOST  STATE  DYNOS  LOAD  FREE MEMORY  FREE DISK\n" in text
    assert "one   open   7      0.50  3072 MiB     40960 MiB\n" in text
    assert "two   lost   -      -     -            -\n" in text


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"updates": None}, "not asked for updates yet"),
        ({"updates": []}, "no updates"),
        ({"updates": None, "problem": "Debian's package mirror: no answer"}, "Debian's package mirror: no answer"),
        (
            {"updates": [{"security": True}, {"security": False}]},
            "2 packages have updates, 1 of them from Debian's security archive — bin/dynoform patch --stack local",
        ),
    ],
)
def test_status_shows_whether_the_stack_image_has_updates(told: dict[str, Any], line: str) -> None:
    image = {"kind": "run", "stack": "dynoform-13", "version": "0123456789ab", "problem": None, **told}
    text = status.render(found_of(stack_images=[image, {**image, "kind": "build"}]))
    assert text.endswith(f"\n\napps run on dynoform-13, image 0123456789ab: {line}")


def test_status_of_nothing_is_short() -> None:
    text = status.render(found_of(services=[], apps=[], api=None, problems=["stack local: does not exist — up"]))
    assert text == "stack local  API -  docker 20.10.24\n\n! stack local: does not exist — up"


def test_completion_knows_every_command_and_option() -> None:
    script = completion.bash()
    for command, options in completion.grammar().items():
        assert f"        {command}) COMPREPLY" in script
        assert all(option in script for option in options)
    words = "COMP_WORDS=(dynoform up --pre); COMP_CWORD=2; _dynoform; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{words}"], capture_output=True, text=True, check=True)
    assert done.stdout == "--preview\n"


def test_benchmark_page_keeps_rows_that_were_not_measured() -> None:
    first, second = measures.MEASURES[2], measures.MEASURES[0]
    old = page.rewritten("", [page.Result(first, [Taken(3.0), Taken(1.0), Taken(2.0)], "2026-01-01", "m")])
    new = page.rewritten(old, [page.Result(second, [Taken(500.0)], "2026-01-02", "m")])
    rows = [line for line in new.splitlines() if line.startswith("| `")]
    assert [row.split("|")[1].strip() for row in rows] == ["`cold-up`", "`unchanged-up`"]
    assert "| 2.0 s |  | 3.0, 1.0, 2.0 | 8 s | 2026-01-01 | m |" in rows[1]


def test_benchmark_shows_the_parts_beside_the_whole() -> None:
    (measure,) = (one for one in measures.MEASURES if one.name == "git-push")
    runs = [Taken(rest, {"in all": rest + 2, "buildpack": 2.0, "the rest": rest}) for rest in (1.5, 1.0, 2.0)]
    row = page.Result(measure, runs, "2026-01-01", "m").row()
    assert "| 1.5 s | in all 3.5 s, buildpack 2.0 s, the rest 1.5 s | 1.5, 1.0, 2.0 | 3 s |" in row


def test_a_part_may_have_a_unit_of_its_own() -> None:
    (measure,) = (one for one in measures.MEASURES if one.name == "idle-dynos")
    row = page.Result(measure, [Taken(30.0, {"CPU [%]": 0.25, "shim": 9.0})], "2026-01-01", "m").row()
    assert "| 30.0 MiB | CPU 0.2 %, shim 9.0 MiB |" in row


def test_a_small_figure_is_not_rounded_to_nothing() -> None:
    (measure,) = (one for one in measures.MEASURES if one.name == "log-tail")
    row = page.Result(measure, [Taken(0.0123, {"median": 0.004, "lost": 0.0})], "2026-01-01", "m").row()
    assert "| 0.012 s | median 0.004 s, lost 0.0 s | 0.012 |" in row


def test_what_dynos_cost_is_counted_from_the_engine_down(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path("/proc/self/comm").read_text().strip()
    with subprocess.Popen(["sleep", "30"]) as child:
        while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        monkeypatch.setattr(dynos, "ENGINE", ("sleep",))
        assert child.pid in dynos._processes()
        assert os.getpid() not in dynos._processes()
        monkeypatch.setattr(dynos, "ENGINE", (own,))
        assert {child.pid, os.getpid()} <= set(dynos._processes())
        assert dynos._resident() > 5
        child.kill()


def test_load_counts_what_is_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=answer_every_other, args=(listener,), daemon=True).start()
        began = time.monotonic()
        with load("app.localhost", port, rate=50) as found:
            while found.sent < 25:
                time.sleep(0.01)
        took = time.monotonic() - began
    assert found.sent <= 50 * took + 1
    assert took < 20
    assert abs(found.failed - found.sent / 2) <= 1
    assert {*found.failures} == {"503"}
    assert 0 < found.slowest < 30


def answer_every_other(listener: socket.socket) -> None:
    for number in itertools.count():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 503 No\r\n\r\n" if number % 2 else b"HTTP/1.1 200 OK\r\n\r\n")


def test_answers_tells_200_from_the_rest() -> None:
    assert not platform.answers("nobody.localhost", 9)


def test_json_reports_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    from dynoform.cli.commands import shared
    from dynoform.cli.console import Console

    stream = io.StringIO()
    shared.print_json(Console({}, result=stream), {"b": 1, "a": [1]})
    assert json.loads(stream.getvalue()) == {"a": [1], "b": 1}
    assert CHECKOUT.is_dir()
