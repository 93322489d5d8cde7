"""Our Python language host, driven by the real Pulumi CLI on a state of its own; needs no Docker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from dynoform.cli.places import CHECKOUT
from dynoform.cli.tools.plugins import write_wrapper
from providers.python_language import packages, program

LAUNCHER = CHECKOUT / "providers" / "python_language" / "pulumi-language-python"
CLI = CHECKOUT / ".venv" / "bin" / "pulumi"
SECONDS = 120


@dataclass
class Project:
    """A Pulumi project with a backend of its own."""

    directory: Path
    home: Path

    def write(self, text: str) -> None:
        (self.directory / "__main__.py").write_text(text, encoding="utf-8")

    def pulumi(self, *words: str) -> "subprocess.CompletedProcess[str]":
        binaries = self.home / "bin"
        environ = {
            "HOME": str(self.home),
            "PATH": f"{binaries}{os.pathsep}{os.defpath}",
            "PULUMI_HOME": str(self.home / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{self.home}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        argv = [str(binaries / "pulumi"), "--non-interactive", "--color", "never", *words]
        return subprocess.run(argv, cwd=self.directory, env=environ, capture_output=True, text=True, timeout=SECONDS)

    def up(self) -> "subprocess.CompletedProcess[str]":
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", "test")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose `pulumi` has only our language host beside it."""
    if not CLI.exists():
        pytest.fail("no Pulumi CLI in the virtualenv — run bin/dynoform test, which brings it")
    binaries = tmp_path / "home" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pulumi").hardlink_to(CLI.resolve())
    write_wrapper(binaries / "pulumi-language-python", LAUNCHER)
    plugin = tmp_path / "home" / "pulumi" / "plugins" / "resource-docker-v5.2.0" / "pulumi-resource-docker"
    write_wrapper(plugin, Path("/bin/false"))  # asked for by an installed SDK, never started here
    found = Project(tmp_path / "project", tmp_path / "home")
    found.directory.mkdir()
    runtime = {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}}
    (found.directory / "Pulumi.yaml").write_text(json.dumps({"name": "tiny", "runtime": runtime}), encoding="utf-8")
    assert found.pulumi("stack", "init", "test").returncode == 0
    return found


def test_program_runs_with_its_configuration(project: Project) -> None:
    project.pulumi("config", "set", "who", "world")
    project.pulumi("config", "set", "--secret", "word", "hush")
    project.write(
        "import pulumi\nconfig = pulumi.Config()\n"
        "pulumi.export('greeting', f'hello {config.require(\"who\")}')\n"
        "pulumi.export('word', config.require_secret('word'))\n"
        "pulumi.export('stack', f'{pulumi.get_project()}/{pulumi.get_stack()}')\n"
    )
    done = project.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
    outputs = json.loads(project.pulumi("stack", "output", "--json", "--stack", "test").stdout)
    assert outputs == {"greeting": "hello world", "word": "[secret]", "stack": "tiny/test"}
    assert project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test").returncode == 0


@pytest.mark.parametrize(
    ("text", "shown", "hidden"),
    [
        ("import pulumi\nraise pulumi.RunError('no such colour')", "no such colour", "Traceback"),
        ("def f():\n    raise ValueError('seven')\nf()", "ValueError: seven", "runpy"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'", "runpy"),
        ("import os\nos._exit(7)", "an unhandled error occurred: Program exited with code 7", "Traceback"),
    ],
)
def test_failing_program_shows_its_reason_once(project: Project, text: str, shown: str, hidden: str) -> None:
    project.write(text)
    done = project.up()
    assert done.returncode != 0
    told = done.stdout.partition("Diagnostics:")[2]
    assert told.count(shown) == 1, done.stdout
    assert hidden not in done.stdout


def test_virtualenv_that_is_not_there_is_named(project: Project) -> None:
    runtime = {"name": "python", "options": {"virtualenv": "gone"}}
    (project.directory / "Pulumi.yaml").write_text(json.dumps({"name": "tiny", "runtime": runtime}), encoding="utf-8")
    project.write("")
    done = project.up()
    assert done.returncode != 0
    assert "runtime.options.virtualenv" in done.stdout + done.stderr


@pytest.fixture
def host() -> Iterator[tuple["subprocess.Popen[str]", language_pb2_grpc.LanguageRuntimeStub]]:
    """The host as the engine starts it, and a client."""
    process = subprocess.Popen([str(LAUNCHER), "127.0.0.1:1"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout, grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        yield process, language_pb2_grpc.LanguageRuntimeStub(channel)
        process.kill()
        process.wait()


Host = tuple["subprocess.Popen[str]", language_pb2_grpc.LanguageRuntimeStub]


def info(directory: Path) -> language_pb2.ProgramInfo:
    return language_pb2.ProgramInfo(root_directory=str(directory), program_directory=str(directory), entry_point=".")


def test_host_answers_about_itself_and_the_program(host: Host, tmp_path: Path) -> None:
    client = host[1]
    assert client.GetPluginInfo(Empty(), timeout=60).version
    about = client.About(language_pb2.AboutRequest(info=info(tmp_path)), timeout=60)
    assert about.executable == sys.executable
    wanted = client.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info(tmp_path)), timeout=60)
    assert [(one.kind, one.name, one.version) for one in wanted.packages] == [("resource", "docker", "5.2.0")]
    request = language_pb2.GetProgramDependenciesRequest(info=info(tmp_path))
    found = client.GetProgramDependencies(request, timeout=60)
    assert "pulumi" in [one.name for one in found.dependencies]


def test_host_runs_plugins_that_are_python_programs(host: Host, tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1]); print('x', file=sys.stderr); sys.exit(3)"
    (tmp_path / "__main__.py").write_text(code, encoding="utf-8")
    request = language_pb2.RunPluginRequest(pwd=str(tmp_path), args=["engine"], info=info(tmp_path))
    answers = list(host[1].RunPlugin(request, timeout=60))
    assert b"".join(one.stdout for one in answers) == b"engine\n"
    assert b"".join(one.stderr for one in answers) == b"x\n"
    assert answers[-1].exitcode == 3


@pytest.mark.parametrize("method", ["GenerateProgram", "GenerateProject", "GeneratePackage", "Pack", "Link"])
def test_host_refuses_by_name_what_it_does_not_do(host: Host, method: str) -> None:
    request = getattr(language_pb2, f"{method}Request")()
    with pytest.raises(grpc.RpcError) as caught:
        getattr(host[1], method)(request, timeout=60)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details().startswith(f"{method}: this language host runs programs and plugins")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_host_ends_when_told_to(host: Host, number: signal.Signals) -> None:
    host[0].send_signal(number)
    assert host[0].wait(60) == 0


def test_host_ends_with_the_engine() -> None:
    start = f"p = subprocess.Popen([{str(LAUNCHER)!r}, 'x'])"
    code = f"import subprocess, time\n{start}\nprint('pid', p.pid, flush=True)\ntime.sleep(60)"
    engine = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert engine.stdout
    with engine.stdout:
        # The other one is the host's port: it serves.
        (_, pid), (port,) = sorted((engine.stdout.readline().split() for _ in range(2)), key=len, reverse=True)
        assert int(port)
        engine.kill()
        engine.wait()
    until = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_plugins_are_found_by_their_manifests(tmp_path: Path) -> None:
    for name, manifest in {
        "one": {"resource": True, "name": "one", "version": "1.0.0"},
        "two": {"resource": True, "name": "two", "server": "https://example.com"},
        "three": {"resource": False, "name": "three"},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "pulumi-plugin.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert packages.plugins([str(tmp_path)]) == [
        {"name": "one", "version": "1.0.0", "server": ""},
        {"name": "two", "version": "", "server": "https://example.com"},
    ]


def test_secrets_of_the_configuration_are_not_in_the_words_of_the_program() -> None:
    words = program.run_words({"stack": "s", "project": ""}, "", ["a"])
    assert words[1:] == ["--stack=s", "--", ".", "a"]
    assert json.loads(program.configuration({"k": "v"}, ["k"])["PULUMI_CONFIG"]) == {"k": "v"}


@pytest.mark.parametrize("options", [{"toolchain": "poetry"}, {"virtualenv": "gone"}])
def test_interpreter_that_cannot_be_had_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(program.ProgramError, match=r"Pulumi.yaml runtime\.options"):
        program.interpreter(tmp_path, options)
