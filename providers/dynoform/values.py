"""Property values as the engine sends them, and as plain Python.

On the wire a property is JSON; secrets are objects with a signature key, unknown values are one reserved string
(https://www.pulumi.com/docs/iac/extending-pulumi/ and the SDK's ``runtime/rpc.py``, whose constants are used).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

SIGNATURE: Final = rpc._special_sig_key
SECRET: Final = rpc._special_secret_sig
OUTPUT: Final = rpc._special_output_value_sig


class Unknown:
    """A value that is known only after the resource before it has been made."""

    def __repr__(self) -> str:
        """Shown in messages and test failures."""
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass
class Properties:
    """Plain values of a resource's properties, and the names of those that hold a secret anywhere inside."""

    values: dict[str, Any] = field(default_factory=dict)
    secret: set[str] = field(default_factory=set)


def from_wire(struct: struct_pb2.Struct) -> Properties:
    """What the engine sent, with secrets unwrapped, unknown values as ``UNKNOWN`` and whole numbers as ``int``."""
    properties = Properties()
    for name, wire in json_format.MessageToDict(struct).items():
        held: list[bool] = []
        properties.values[name] = _plain(wire, held)
        if held:
            properties.secret.add(name)
    return properties


def to_wire(values: Mapping[str, Any], secret: Iterable[str] = ()) -> struct_pb2.Struct:
    """The same the other way; each property named in ``secret`` is marked as a secret as a whole."""
    hidden = set(secret)
    struct = struct_pb2.Struct()
    for name, value in values.items():
        wire = _wire(value)
        json_format.ParseDict({SIGNATURE: SECRET, "value": wire} if name in hidden else wire, struct.fields[name])
    return struct


def contains_unknown(value: Any) -> bool:
    """Whether ``value`` is unknown, or a list or map with an unknown value in it."""
    if isinstance(value, Mapping):
        return any(contains_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(contains_unknown(inner) for inner in value)
    return value is UNKNOWN


def _plain(wire: Any, held: list[bool]) -> Any:
    if isinstance(wire, dict):
        if wire.get(SIGNATURE) == SECRET:
            held.append(True)
            return _plain(wire.get("value"), held)
        if wire.get(SIGNATURE) == OUTPUT:
            held.extend([True] if wire.get("secret") else [])
            return _plain(wire["value"], held) if "value" in wire else UNKNOWN
        return {name: _plain(inner, held) for name, inner in wire.items()}
    if isinstance(wire, list):
        return [_plain(inner, held) for inner in wire]
    if wire == rpc.UNKNOWN:
        return UNKNOWN
    return int(wire) if isinstance(wire, float) and wire.is_integer() else wire


def _wire(value: Any) -> Any:
    if value is UNKNOWN:
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        return {str(name): _wire(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_wire(inner) for inner in value]
    return value
