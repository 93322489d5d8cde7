"""What is wrong with a request, in sentences that name the field and say what it has to be."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_MAXIMUM = 3
"""Fields that one answer speaks of."""
_MUST_BE = "must be "
_TYPES = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "an array",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "none_required": "null",
    "string_type": "a string",
}
_RULES = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_unicode": "must be text in UTF-8",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "value_error": "is wrong: {error}",
}
_ALTERNATIVE = re.compile(r"(constrained-)?(bool|float|int|str)|none|\w+\[.*", re.DOTALL)


def explain(faults: Iterable[Any]) -> str:
    """The sentences for faults that pydantic found, the first few fields'.

    A field that may be one of several things has a fault for each: they become one sentence.
    """
    found: dict[str, list[Any]] = {}
    for fault in faults:
        found.setdefault(_place(fault["loc"]), []).append(fault)
    return "; ".join(f"{place} {_sentence(found[place])}" for place in list(found)[:_MAXIMUM]) + "."


def _place(loc: Sequence[int | str]) -> str:
    """``updates.0.quantity``, without the alternatives of a union that pydantic names in between."""
    path = [str(part) for part in loc[1:]]
    models = {model.__name__ for model in _models(BaseModel)}
    kept = path[:1] + [part for part in path[1:] if part not in models and not _ALTERNATIVE.fullmatch(part)]
    return ".".join(kept)[:80] or str(loc[0])


def _sentence(faults: Sequence[Any]) -> str:
    rules = [_rule(fault["type"], fault.get("ctx") or {}) for fault in faults if fault["type"] not in _TYPES]
    if rules:
        return rules[0]  # of the alternative that it was meant to be
    return _MUST_BE + " or ".join(dict.fromkeys(_TYPES[fault["type"]] for fault in faults))


def _rule(kind: str, context: Mapping[str, Any]) -> str:
    if context.get("min_length") == 1:
        return "must not be empty"
    try:
        return _RULES[kind].format(**context)
    except KeyError:
        return "is not valid"


def _models(base: type[BaseModel]) -> Iterable[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)
