"""What a ``heroku.yml`` says: which images an app is built as, and what its process types run.

https://devcenter.heroku.com/articles/build-docker-images-heroku-yml
"""

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dynoform.domain import config_vars, container_images, process_types, shapes, slugs, stacks
from dynoform.domain.process_types import RELEASE, WEB
from dynoform.errors import InvalidInputError

FILE = stacks.MANIFEST
CHARACTERS = 64 * 1024
_MOST_IMAGES = 20
_NEXT = f"mend {FILE} and push again"


@dataclass(frozen=True)
class Image:
    """An image to build: paths are relative to the app's root, ``target`` is a stage, None the last one."""

    dockerfile: str
    context: str
    target: str | None = None


@dataclass(frozen=True)
class Command:
    """What a process type runs: ``command`` for a shell, None for the image's own, in the image of a type.

    One that is ``optional`` is of an image that the file says no more about: without a CMD it is there for others.
    """

    image: str
    command: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Setup:
    """What an app that is made from this source begins with: add-ons as (plan, attachment's name), config vars."""

    addons: Sequence[tuple[str, str | None]]
    config: Mapping[str, str]


@dataclass(frozen=True)
class HerokuYml:
    """``images`` and ``commands`` by process type; ``arguments`` are build arguments."""

    images: Mapping[str, Image]
    commands: Mapping[str, Command]
    arguments: Mapping[str, str]
    setup: Setup


class _Loader(yaml.SafeLoader):
    """Reads plain YAML: an alias could make a small file a large one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias, which is not read here")
        return super().compose_node(parent, index)


def parse(text: str | None) -> HerokuYml:
    """Read the file's text. Raises ``InvalidInputError`` with the path of what is wrong, and the reason."""
    if text is None:
        raise InvalidInputError(FILE, "is missing", "add one that says which Dockerfile to build, or set another stack")
    problem = next(_problems(found := _load(text)), None)
    if problem is not None:
        raise _wrong(problem)
    images = {name: _image(value) for name, value in found["build"]["docker"].items()}
    addons = [(one["plan"], one.get("as")) for one in (found.get("setup") or {}).get("addons") or []]
    setup = Setup(addons, _texts(_part(found, "setup", "config")))
    return HerokuYml(images, _commands(found, images), _texts(_part(found, "build", "config")), setup)


def _load(text: str) -> dict[str, Any]:
    if len(text) > CHARACTERS:
        raise _wrong(f"is longer than {CHARACTERS // 1024} KiB")
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader, without aliases
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f"line {place.line + 1}: " if place else ""
        raise _wrong(f"{where}is not YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(found, dict):
        raise _wrong("must be a mapping with build")
    return dict(_with_text_keys(found))


def _with_text_keys(value: Any) -> Any:
    """The same with each key as text: YAML has numbers and truth as keys, too."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(each) for key, each in value.items()}
    return [_with_text_keys(each) for each in value] if isinstance(value, list) else value


def _text_or_number(path: str, value: Any) -> Any:
    if not isinstance(value, str | int | float) or "\0" in str(value):
        yield f"{path}: must be text"


def _file(path: str, value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        yield f"{path}: must be the path of a file"
    elif value.startswith("/") or ".." in value.split("/") or not value.isprintable():
        yield f"{path}: must be within the app's folder"


def _command(path: str, value: Any) -> Any:
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) and word.strip() and "\0" not in word for word in words):
        yield f"{path}: must be a command, or a list of them"
    elif sum(map(len, words)) > slugs.COMMAND_CHARACTERS:
        yield f"{path}: is longer than {slugs.COMMAND_CHARACTERS} characters"


def _type(name: str) -> None:
    if not container_images.is_type(name):
        raise InvalidInputError("a process type with an image has a name of lower case letters, digits and dashes")


def _variable(name: str) -> None:
    config_vars.merge({}, {name: ""})


_BUILT = shapes.record({"dockerfile": _file, "context": _file, "target": shapes.text}, required=("dockerfile",))
_RUN = shapes.record({"command": _command, "image": shapes.text}, required=("command",))
_ADDON = shapes.record({"as": shapes.text, "plan": shapes.text}, required=("plan",))
_CHECK = shapes.record(
    {
        "build": shapes.record(
            {
                "config": shapes.mapping(_text_or_number, _variable),
                "docker": shapes.mapping(shapes.either(_file, _BUILT), _type),
            },
            required=("docker",),
        ),
        "release": shapes.record({"command": _command, "image": shapes.text}),
        "run": shapes.mapping(
            lambda path, value: (_RUN if isinstance(value, dict) else _command)(path, value), process_types.check_name
        ),
        "setup": shapes.record({"addons": shapes.items(_ADDON), "config": shapes.mapping(_text_or_number, _variable)}),
    },
    required=("build",),
)


def _problems(found: dict[str, Any]) -> Any:
    yield from _CHECK("", found)
    images = found["build"]["docker"]
    if not images or len(images) > _MOST_IMAGES:
        yield f"build.docker: must have 1 to {_MOST_IMAGES} images"
    for path, named in _named_images(found):
        if named not in images:
            yield f"{path}: {named!r} is not built: use {', '.join(images)}"


def _named_images(found: dict[str, Any]) -> Sequence[tuple[str, str]]:
    """(path, image) of all that is to run in an image."""
    named = []
    images = found["build"]["docker"]
    for name, value in (found.get("run") or {}).items():
        wanted = value.get("image") if isinstance(value, dict) else None
        if wanted is not None or name not in images:
            named.append((f"run.{name}.image" if wanted is not None else f"run.{name}", wanted or WEB))
    if "command" in (release := found.get("release") or {}):
        named.append(("release.image", release.get("image") or (RELEASE if RELEASE in images else WEB)))
    return named


def _image(value: Any) -> Image:
    described = {"dockerfile": value} if isinstance(value, str) else value
    dockerfile = posixpath.normpath(described["dockerfile"])
    context = posixpath.normpath(described.get("context") or posixpath.dirname(dockerfile) or ".")
    return Image(dockerfile, "" if context == "." else context, described.get("target"))


def _commands(found: dict[str, Any], images: Mapping[str, Image]) -> dict[str, Command]:
    """What runs: the types of ``run``, the other images by their own commands, and the release command."""
    run, release = found.get("run") or {}, found.get("release") or {}
    commands = {name: Command(name, optional=bool(run)) for name in images if name != RELEASE}
    for name, value in run.items():
        described = value if isinstance(value, dict) else {"command": value}
        fallback = name if name in images else WEB
        commands[name] = Command(described.get("image") or fallback, _joined(described["command"]))
    if "command" in release or RELEASE in images:
        image = release.get("image") or (RELEASE if RELEASE in images else WEB)
        commands[RELEASE] = Command(image, _joined(release["command"]) if "command" in release else None)
    return commands


def _joined(value: Any) -> str:
    return value.strip() if isinstance(value, str) else " && ".join(value)


def _part(found: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        found = found.get(name) or {}
    return found


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(why: str) -> InvalidInputError:
    return InvalidInputError(FILE, why, _NEXT)


def command_line(command: str | None, entrypoint: Sequence[str], default: Sequence[str]) -> str:
    """The words, for a shell, that a process type is started with.

    ``command`` is for the image's shell and takes the place of its CMD, ``default``; its ENTRYPOINT comes before both.
    """
    return shlex.join([*entrypoint, *(["/bin/sh", "-c", command] if command is not None else default)])
