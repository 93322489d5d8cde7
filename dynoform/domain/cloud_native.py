"""Apps for Cloud Native Buildpacks: what their ``project.toml`` may ask for, and what an image says that ``pack`` made.

https://buildpacks.io/docs/reference/config/project-descriptor/
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from dynoform.domain import image_names, process_types, stacks
from dynoform.domain.image_names import ImageName
from dynoform.errors import InvalidInputError

FILE = stacks.PROJECT
LABEL = "io.buildpacks.build.metadata"
"""Where an image says which processes it has: https://github.com/buildpacks/spec/blob/main/platform.md."""
_LAUNCH = "/cnb/process/"
_NEXT = f"mend {FILE} and push again"


def builder(text: str) -> ImageName:
    """The image that builds the app.

    Raises ``InvalidInputError``: no TOML, of another schema, without a builder, or with a buildpack that ``pack`` would
    have to fetch or to read itself, from where it runs: beside the platform.
    """
    try:
        found: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong("", f"is not TOML ({error})") from None
    schema = _table(found, "_").get("schema-version")
    if schema != "0.2":
        raise _wrong("_.schema-version", 'must be "0.2"')
    asked = _table(_table(found, "io"), "buildpacks", "io.")
    for path, buildpack in _groups(asked):
        reference = buildpack.get("uri", "")
        if not isinstance(reference, str) or (reference and not reference.startswith("urn:cnb:builder:")):
            why = "may only be urn:cnb:builder:…, a buildpack of the builder's: nothing else is fetched here"
            raise _wrong(f"{path}.uri", why)
    name = asked.get("builder")
    image = image_names.parse(name) if isinstance(name, str) else None
    if image is None:
        raise _wrong("io.buildpacks.builder", "must be the name of an image, like heroku/builder:24")
    return image


def processes(labels: Mapping[str, str]) -> dict[str, str]:
    """Process type → command of an image that buildpacks made. Raises ``InvalidInputError`` when it has none."""
    try:
        listed: Any = json.loads(labels.get(LABEL, ""))["processes"]
        names = [process_types.check_name(str(each["type"])) for each in listed]
    except (ValueError, KeyError, TypeError, RecursionError):
        names = []
    if not names:
        raise InvalidInputError("image", "its buildpacks have declared no process type", "say what the app runs")
    return {name: f"{_LAUNCH}{name}" for name in names}


def _groups(asked: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each buildpack that is named, with its path: the app's own group, and what goes before and after it."""
    above = "io.buildpacks."
    for place, holder in (("", asked), *((f"{name}.", _table(asked, name, above)) for name in ("pre", "post"))):
        path = f"{above}{place}group"
        group = holder.get("group", [])
        if not isinstance(group, list) or not all(isinstance(each, dict) for each in group):
            raise _wrong(path, "must be a list of tables")
        yield from ((f"{path}[{number}]", each) for number, each in enumerate(group))


def _table(holder: Mapping[str, Any], name: str, above: str = "") -> Mapping[str, Any]:
    found = holder.get(name, {})
    if not isinstance(found, dict):
        raise _wrong(f"{above}{name}", "must be a table")
    return found


def _wrong(path: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"{FILE}: {path}" if path else FILE, why, _NEXT)
