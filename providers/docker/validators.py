"""Checks of single values, with the official plugin's texts. Pure."""

import base64
import binascii
import re

from .formats import parse_duration
from .properties import Validator


def one_of(*names: str) -> Validator:
    """The value has to be one of ``names``."""
    pattern = f"^({'|'.join(names)})$"

    def validate(text: str) -> str | None:
        return None if re.fullmatch(pattern, text) else f"'{text}' doesn't match the pattern '{pattern}'"

    return validate


def duration(text: str) -> str | None:
    """A Go duration, with a unit."""
    try:
        parse_duration(text)
    except ValueError as error:
        return str(error)
    return None


def not_negative(text: str) -> str | None:
    """0 or more."""
    return None if int(text) >= 0 else f"'{text}' cannot be lower than 0"


def ratio(text: str) -> str | None:
    """A fraction between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        return f"'{text}' is not a float"
    return None if 0.0 <= value <= 1.0 else f"'{text}' has to be between 0.0 and 1.0"


def base64_text(text: str) -> str | None:
    """Base64, the standard alphabet with padding."""
    return None if _decodes(text) else f"'{text}' is not base64 decodeable"


def secret_base64(text: str) -> str | None:
    """The same, without the value in the text: it is a secret. (The official plugin shows it.)"""
    return None if _decodes(text) else "the value is not base64 decodeable"


def _decodes(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
