"""Check: brings a program's inputs to their types, fills in defaults, and says what is wrong with them. Pure.

The texts are the official plugin's: ``<summary>. <detail>. Examine values at '<resource>.<path>'.``
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .canonical import inputs_of
from .errors import ConversionError
from .formats import snake_case
from .properties import Kind, Property
from .unknown import UNKNOWN

TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What https://pkg.go.dev/strconv#ParseBool takes."""


@dataclass
class Checked:
    """What Check found: values to go on with, reasons to refuse them, remarks that are only shown."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where a value stands: as a program writes it, and as the official plugin's schema does."""

    shown: str
    inner: str = ""

    def field(self, name: str) -> "Place":
        """The property ``name`` of the object here."""
        return Place(f"{self.shown}.{name}", f"{self.inner}.{snake_case(name)}" if self.inner else snake_case(name))

    def index(self, number: int) -> "Place":
        """Item ``number`` of the list here."""
        return Place(f"{self.shown}[{number}]", f"{self.inner}.{number}")

    def block(self) -> "Place":
        """The only object here: the official schema has lists of one."""
        return Place(self.shown, f"{self.inner}.0" if self.inner else "")


def check(schema: Property, inputs: Mapping[str, Any], resource: str) -> Checked:
    """Checks the inputs of ``resource`` (its logical name).

    Raises ``ConversionError`` for a value of which no number can be made.
    """
    checker = _Checker(inputs)
    checked = checker.object(schema, inputs, Place(resource))
    return Checked(checked, checker.failures, checker.warnings)


class _Checker:
    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self.failures: list[str] = []
        self.warnings: list[str] = []

    def fail(self, place: Place, summary: str, detail: str = "") -> None:
        text = f"{summary}. {detail}" if detail else summary
        self.failures.append(f"{text}. Examine values at '{place.shown}'.")

    def object(self, schema: Property, value: Mapping[str, Any], place: Place) -> dict[str, Any]:
        here = place.block()
        for name in value:
            if not name.startswith("__") and (name not in schema.fields or schema.fields[name].output):
                self.fail(place.field(name), "Invalid or unknown key")
        checked: dict[str, Any] = {}
        for name, inner in inputs_of(schema):
            present = value.get(name)
            if present is None:
                present = inner.default
            if present is not None:
                checked[name] = self._property(inner, present, here.field(name), given=value.get(name) is not None)
            elif inner.required:
                path = here.field(name)
                self.fail(
                    path,
                    "Missing required argument",
                    f'The argument "{path.inner}" is required, but no definition was found.',
                )
            self._alternatives(inner, name, value, here)
        return checked

    def _property(self, schema: Property, value: Any, place: Place, *, given: bool) -> Any:
        if schema.refused and given:
            self.fail(place, f"{place.shown.split('.', 1)[-1]}: is not served by this docker plugin", schema.refused)
            return value
        for other in schema.conflicts if given else ():
            if _at(self._inputs, other) is not None:
                self.fail(place, "Conflicting configuration arguments", f'"{place.inner}": conflicts with {other}')
        checked = self._typed(schema, value, place)
        if isinstance(checked, str | int | float) and not isinstance(checked, bool):
            problems = [validator(str(checked)) for validator in schema.validators]
            for problem in filter(None, problems):
                self.fail(place, problem, problem)
        return checked

    def _alternatives(self, schema: Property, name: str, value: Mapping[str, Any], place: Place) -> None:
        names = schema.only_one_of
        used = [snake_case(other) for other in names if value.get(other) is not None]
        if names and len(used) != 1:
            choice = ",".join(snake_case(other) for other in names)
            detail = (
                f'"{snake_case(name)}": only one of `{choice}` can be specified, but `{",".join(used)}` were specified.'
                if used
                else f'"{snake_case(name)}": one of `{choice}` must be specified'
            )
            self.fail(place.field(name), "Invalid combination of arguments", detail)

    def _typed(self, schema: Property, value: Any, place: Place) -> Any:
        if value is UNKNOWN:
            return value
        if schema.kind is Kind.OBJECT or schema.kind is Kind.MAP:
            return self._mapping(schema, value, place)
        if schema.kind in (Kind.LIST, Kind.SET):
            return self._items(schema, value, place)
        if isinstance(value, Mapping | list):
            self.fail(
                place, f"Attribute must be a single value, not a {'map' if isinstance(value, Mapping) else 'list'}"
            )
            return None
        if schema.kind is Kind.STRING:
            return _text(value)
        if schema.kind is Kind.INTEGER:
            return _integer(value, place)
        return self._boolean(value, place)

    def _mapping(self, schema: Property, value: Any, place: Place) -> Any:
        if not isinstance(value, Mapping):
            self.fail(place, "Attribute must be a map")
            return None
        if schema.kind is Kind.OBJECT:
            return self.object(schema, value, place)
        text = Property(Kind.STRING)
        pairs = {
            str(name): inner for name, inner in value.items() if not str(name).startswith("__") and inner is not None
        }
        return {name: self._typed(text, inner, place.field(name)) for name, inner in pairs.items()}

    def _items(self, schema: Property, value: Any, place: Place) -> Any:
        if isinstance(value, Mapping):
            self.fail(place, "Attribute must be a single value, not a map")
            return None
        if not isinstance(value, list):
            self.warnings.append(f"Type checking failed: '{place.shown}' should be a list; taken as a list of one.")
            value = [value]
        item = schema.item or Property(Kind.STRING)
        present = [inner for inner in value if inner is not None]
        return [self._property(item, inner, place.index(index), given=True) for index, inner in enumerate(present)]

    def _boolean(self, value: Any, place: Place) -> Any:
        if isinstance(value, bool):
            return value
        text = _text(value)
        if text not in TRUE | FALSE:
            self.fail(place, f"cannot parse '' as bool: strconv.ParseBool: parsing \"{text}\": invalid syntax")
        return text in TRUE


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _integer(value: Any, place: Place) -> int:
    text = _text(value)
    try:
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else int(text, 10)
    except ValueError:
        name = place.inner.rsplit(".", 1)[-1]
        raise ConversionError(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _at(inputs: Mapping[str, Any], path: str) -> Any:
    value: Any = inputs
    for step in path.split("."):
        if step == "0":
            continue
        if not isinstance(value, Mapping):
            return None
        value = next((inner for name, inner in value.items() if snake_case(name) == step), None)
    return value
