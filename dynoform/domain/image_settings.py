"""What an image says about the containers that are made of it, and what a Dockerfile changes of that.

https://github.com/opencontainers/image-spec/blob/main/config.md#properties
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynoform.domain import dockerfile_words, dyno_container, image_files
from dynoform.domain.dockerfile import Instruction

SHELL = ("/bin/sh", "-c")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Settings:
    """``entrypoint`` and ``command`` are words; ``user`` is as in the image, empty for root."""

    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    folder: str = "/"
    labels: dict[str, str] = field(default_factory=dict)
    ports: set[str] = field(default_factory=set)
    shell: Sequence[str] = SHELL
    own_command: bool = False
    """Whether ``command`` is this Dockerfile's, and not its base's."""

    def copy(self) -> "Settings":
        """For a stage that starts from an image with these."""
        return Settings(
            dict(self.environment),
            self.entrypoint,
            self.command,
            self.user,
            self.folder,
            dict(self.labels),
            set(self.ports),
            self.shell,
        )

    def as_config(self) -> dict[str, Any]:
        """As an image's config has them."""
        return {
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.command) or None,
            "User": self.user,
            "WorkingDir": self.folder,
            "Labels": self.labels,
            "ExposedPorts": {port: {} for port in sorted(self.ports)},
        }

    def words(self, instruction: Instruction) -> list[str]:
        """The program of a RUN, a CMD or an ENTRYPOINT: its words, or the shell with its text."""
        listed = instruction.listed
        if listed is not None:
            return listed
        return [*self.shell, instruction.text if instruction.script is None else instruction.script]

    def apply(self, instruction: Instruction, variables: Mapping[str, str]) -> bool:
        """Do what an instruction says about settings; False for one of another kind. ``InvalidInputError``: wrong."""
        action = _ACTIONS.get(instruction.name)
        if action is not None:
            action(self, instruction, variables)
        return action is not None


def of(config: Mapping[str, Any] | None) -> Settings:
    """The settings of an image's config."""
    found = config or {}
    settings = Settings(
        entrypoint=list(found.get("Entrypoint") or ()),
        command=list(found.get("Cmd") or ()),
        user=str(found.get("User") or ""),
        folder=str(found.get("WorkingDir") or "/"),
        labels=_own(found.get("Labels") or {}),
        ports=set(found.get("ExposedPorts") or {}),
        shell=tuple(found.get("Shell") or SHELL),
    )
    settings.environment |= dict(_pair(entry) for entry in found.get("Env") or ())
    return settings


def pairs(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """Names and values of an ENV or a LABEL: ``a=b c="d e"``, or ``a b c`` for one with spaces in it."""
    words = dockerfile_words.split(instruction.text, variables)
    if "=" not in instruction.text.split()[0]:
        name, _, value = instruction.text.partition(" ")
        if not value.strip():
            raise instruction.wrong("has no value", "write NAME=value")
        return {name: dockerfile_words.expand(value.strip(), variables)}
    if not all("=" in word and not word.startswith("=") for word in words):
        raise instruction.wrong("is not a list of NAME=value")
    return dict(_pair(word) for word in words)


def arguments(
    instruction: Instruction, given: Mapping[str, str], known: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """What an ARG declares: those that were ``given``, its own defaults, those ``known`` from before the first FROM."""
    found = {}
    for word in dockerfile_words.split(instruction.text, variables):
        name, has_default, default = word.partition("=")
        if name in given:
            found[name] = given[name]
        elif has_default:
            found[name] = default
        elif name in known:
            found[name] = known[name]
    return found


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    reserved = dyno_container.reserved(labels)
    return {name: value for name, value in labels.items() if name not in reserved}


def _pair(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


def _env(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    settings.environment |= pairs(instruction, variables)


def _label(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    found = pairs(instruction, variables)
    if taken := dyno_container.reserved(found):
        raise instruction.wrong(f"sets {taken[0]}, which only the platform does", "take another name")
    settings.labels |= found


def _user(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    settings.user = dockerfile_words.expand(instruction.text, variables)


def _workdir(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    wanted = dockerfile_words.expand(instruction.text, variables)
    settings.folder = image_files.destination(settings.folder, wanted)


def _expose(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    for port in dockerfile_words.split(instruction.text, variables):
        settings.ports.add(port if "/" in port else f"{port}/tcp")


def _shell(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    if not instruction.listed:
        raise instruction.wrong("is not a list of words", 'write SHELL ["/bin/bash", "-c"]')
    settings.shell = instruction.listed


def _cmd(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    settings.command, settings.own_command = settings.words(instruction), True


def _entrypoint(settings: Settings, instruction: Instruction, variables: Mapping[str, str]) -> None:
    settings.entrypoint = settings.words(instruction)
    if not settings.own_command:
        settings.command = ()  # that of the base was for the base's


_ACTIONS: dict[str, Callable[[Settings, Instruction, Mapping[str, str]], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "SHELL": _shell,
    "USER": _user,
    "WORKDIR": _workdir,
}
