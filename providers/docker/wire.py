"""Property values as the Pulumi engine sends them, and as plain Python.

On the wire a property is JSON; secrets are objects with a signature key, unknown values one reserved string (the SDK's
``pulumi/runtime/rpc.py``, whose constants are used). The plugin does not ask for secrets, so the engine marks outputs
secret again where the input was; what the schema says is secret is marked here.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

from .properties import Kind, Property
from .unknown import UNKNOWN

SIGNATURE: Final = rpc._special_sig_key
SECRET: Final = rpc._special_secret_sig
OUTPUT: Final = rpc._special_output_value_sig


def from_wire(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Plain values: secrets unwrapped, unknown ones as ``UNKNOWN``, whole numbers as ``int``."""
    return {name: _plain(value) for name, value in json_format.MessageToDict(struct).items()}


def to_wire(values: Mapping[str, Any], schema: Property | None = None) -> struct_pb2.Struct:
    """The other way; what ``schema`` calls sensitive is wrapped as a secret."""
    return json_format.ParseDict(_wire(values, schema), struct_pb2.Struct())


def _plain(wire: Any) -> Any:
    if isinstance(wire, dict):
        if wire.get(SIGNATURE) == SECRET:
            return _plain(wire.get("value"))
        if wire.get(SIGNATURE) == OUTPUT:
            return _plain(wire["value"]) if "value" in wire else UNKNOWN
        return {name: _plain(inner) for name, inner in wire.items()}
    if isinstance(wire, list):
        return [_plain(inner) for inner in wire]
    if wire == rpc.UNKNOWN:
        return UNKNOWN
    return int(wire) if isinstance(wire, float) and wire.is_integer() else wire


def _wire(value: Any, schema: Property | None) -> Any:
    sealed = schema is not None and schema.sensitive and value is not None
    plain = _wire_unsealed(value, schema)
    return {SIGNATURE: SECRET, "value": plain} if sealed else plain


def _wire_unsealed(value: Any, schema: Property | None) -> Any:
    if value is UNKNOWN:
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        fields = schema.fields if schema is not None and schema.kind is Kind.OBJECT else {}
        return {str(name): _wire(inner, fields.get(str(name))) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_wire(inner, schema.item if schema is not None else None) for inner in value]
    return value
