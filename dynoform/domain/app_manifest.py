"""What a source says of the app that it is for, in app.json and in the ``setup`` of heroku.yml.

https://devcenter.heroku.com/articles/app-json-schema.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynoform.domain import app_json, config_vars, dyno_sizes, heroku_yml, stacks
from dynoform.domain.app_setups import NOT_FOUND, ManifestError
from dynoform.errors import InvalidInputError


@dataclass(frozen=True)
class Variable:
    """A config var to set: to ``value``, to a secret that is ``generated``, or to what the user gives."""

    value: str | None = None
    generated: bool = False
    required: bool = True


@dataclass(frozen=True)
class Wish:
    """An add-on to make. ``path`` is where the wish is written down."""

    path: str
    plan: str
    attachment: str | None
    options: Mapping[str, str]


@dataclass(frozen=True)
class Script:
    """A command of the app's own, and the size of the dyno that it runs in."""

    command: str
    size: str = dyno_sizes.DEFAULT


@dataclass(frozen=True)
class Manifest:
    """What an app is to be made of. ``formation``: process type → ``quantity``, ``size`` or both."""

    env: Mapping[str, Variable]
    addons: Sequence[Wish]
    buildpacks: Sequence[str]
    formation: Mapping[str, Mapping[str, Any]]
    postdeploy: Script | None
    stack: str
    success_url: str


def read(manifest: str | None, images: str | None, stack: str | None) -> Manifest:
    """What a source's app.json and heroku.yml say; ``stack`` is what the user has asked for, if anything.

    Without a word about the stack, a source with a heroku.yml is for the stack ``container``. Raises
    ``ManifestError``, and ``InvalidInputError`` when there is neither file.
    """
    if manifest is None and images is None:
        raise InvalidInputError(NOT_FOUND)
    if problems := app_json.problems(manifest or "{}"):
        raise ManifestError(problems)
    found: dict[str, Any] = json.loads(manifest or "{}")
    stack = stack or found.get("stack") or (stacks.DEFAULT if images is None else stacks.CONTAINER)
    env, addons = _of_images(images) if stack == stacks.CONTAINER else ({}, [])
    return Manifest(
        env | {name: _variable(value) for name, value in found.get("env", {}).items()},
        addons + [_wish(f"addons[{number}]", value) for number, value in enumerate(found.get("addons", []))],
        [one["url"] for one in found.get("buildpacks", [])],
        found.get("formation", {}),
        _script(found.get("scripts", {}).get("postdeploy")),
        stack,
        found.get("success_url", ""),
    )


def config(
    env: Mapping[str, Variable],
    overrides: Mapping[str, str],
    generate: Callable[[], str] = lambda: secrets.token_hex(32),
) -> dict[str, str]:
    """The config vars to begin with: what the user gives wins. Raises ``ManifestError`` for what is still missing.

    A secret is of 64 hexadecimal digits, as Heroku's are.
    """
    found, missing = {}, []
    for name, variable in env.items():
        value = overrides.get(name, variable.value)
        if value is None and variable.generated:
            value = generate()
        if value is not None:
            found[name] = value
        elif variable.required:
            missing.append(f"env.{name}: is required: give it a value in overrides.env")
    if missing:
        raise ManifestError(missing)
    try:
        return config_vars.merge(found, overrides).config
    except InvalidInputError as error:
        raise ManifestError([f"env: {error}"]) from None


def _of_images(text: str | None) -> tuple[dict[str, Variable], list[Wish]]:
    """What heroku.yml's ``setup`` asks for."""
    if text is None:
        return {}, []
    try:
        setup = heroku_yml.parse(text).setup
    except InvalidInputError as error:
        raise ManifestError([f"{error.what}: {error.why}"]) from None
    wishes = [
        Wish(f"{heroku_yml.FILE}: setup.addons[{number}]", plan, name, {})
        for number, (plan, name) in enumerate(setup.addons)
    ]
    return {name: Variable(value) for name, value in setup.config.items()}, wishes


def _variable(value: Any) -> Variable:
    if isinstance(value, str):
        return Variable(value)
    return Variable(value.get("value"), "generator" in value, value.get("required", True))


def _wish(path: str, value: Any) -> Wish:
    described: dict[str, Any] = {"plan": value} if isinstance(value, str) else value
    return Wish(path, described["plan"], described.get("as"), described.get("options", {}))


def _script(value: Any) -> Script | None:
    if not value:
        return None
    described = {"command": value} if isinstance(value, str) else value
    return Script(described["command"], dyno_sizes.find(described.get("size", dyno_sizes.DEFAULT)).name)
