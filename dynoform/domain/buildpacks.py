"""Buildpacks as users name them: ``heroku/python``, ``urn:buildpack:heroku/python``, or where one can be fetched.

https://devcenter.heroku.com/articles/buildpacks
"""

import re
from collections.abc import Iterable

from typing_extensions import TypedDict

from dynoform.errors import InvalidInputError

OWN = {
    "heroku/ruby": "Ruby",
    "heroku/nodejs": "Node.js",
    "heroku/clojure": "Clojure",
    "heroku/python": "Python",
    "heroku/java": "Java",
    "heroku/gradle": "Gradle",
    "heroku/scala": "Scala",
    "heroku/php": "PHP",
    "heroku/go": "Go",
    "heroku/static": "static sites",
}
"""Those that the platform has, with what they are for, in the order in which they look at an app."""
MAXIMUM = 20
_URN = "urn:buildpack:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}/[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_URL = re.compile(r"(https?|git|ssh)://[^\s\x00-\x1f]{1,1000}|git@[^\s\x00-\x1f]{1,1000}")
_HEROKUS = re.compile(
    r"https://(?:buildpack-registry|codon-buildpacks)\.s3\.amazonaws\.com/buildpacks/([\w-]+/[\w-]+)\.tgz"
    r"|https://github\.com/heroku/heroku-buildpack-([\w-]+?)(?:\.git)?/?"
)


class BuildpackObject(TypedDict):
    """A buildpack within another object."""

    name: str
    url: str


def parse(text: str) -> str:
    """One way to write each: ``heroku/python`` for ours and those of Heroku's registry, however named, else the URL.

    Heroku's own, given by URL without a ref, are ours: theirs bring programs that are made for Heroku's stacks.

    Raises ``InvalidInputError`` for what is neither a name nor a URL.
    """
    match = _HEROKUS.fullmatch(text)
    if match and (match[1] or f"heroku/{match[2]}" in OWN):
        return match[1] or f"heroku/{match[2]}"
    name = text.removeprefix(_URN)
    if _NAME.fullmatch(name) or _URL.fullmatch(text):
        return name
    raise InvalidInputError(
        f"{text[:80]!r} is not a buildpack: use a name like heroku/python, or the https URL of its repository"
    )


def parse_all(texts: Iterable[str]) -> list[str]:
    """A whole list. Raises ``InvalidInputError`` when it is too long or has one twice, as Heroku does."""
    found = [parse(text) for text in texts]
    if len(found) > MAXIMUM:
        raise InvalidInputError(f"An app can have {MAXIMUM} buildpacks, these would be {len(found)}")
    twice = next((one for one in found if found.count(one) > 1), None)
    if twice:
        raise InvalidInputError(f"The buildpack {twice} is listed twice: list each once")
    return found


def url(buildpack: str) -> str:
    """``urn:buildpack:heroku/python`` for a name: the form that the CLI shows as the name alone."""
    return f"{_URN}{buildpack}" if _NAME.fullmatch(buildpack) else buildpack


def shown(buildpack: str) -> BuildpackObject:
    """The buildpack within another object."""
    return {"name": buildpack, "url": url(buildpack)}
