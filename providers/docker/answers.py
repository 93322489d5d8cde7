"""Parts of the answers that the servicer gives: names, differences, properties, errors."""

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from .check import Checked
from .diff import Difference, top_level
from .errors import DockerPluginError, PartialError
from .naming import named
from .resource import Found, Resource
from .shape import imported, refreshed, shaped
from .wire import SECRET, SIGNATURE, from_wire, to_wire

NOT_SERVED = (
    "is not served by this docker plugin, which has RemoteImage, Volume, Secret, ServiceConfig, Service and Network — "
    "use Pulumi's own docker plugin 5.2.0 for it"
)


def type_of(request: Any) -> str:
    """The type token in a request's URN."""
    return str(request.urn).split("::")[-2].rsplit("$", 1)[-1]


def name_of(request: Any) -> str:
    """The resource's logical name, which may hold colons itself."""
    return str(request.name) or str(request.urn).split("::")[-1]


def give_name(checked: Checked, request: Any, resource: str) -> None:
    """Fills in the name, by the project's own rules where it has some."""
    rule = request.autonaming if request.HasField("autonaming") else None
    modes = provider_pb2.CheckRequest.AutonamingOptions
    if rule is not None and rule.mode == modes.DISABLE and not checked.values.get("name"):
        checked.failures.append(
            f"Missing required argument: automatic naming is off. Examine values at '{resource}.name'."
        )
        return
    proposed = rule.proposed_name if rule is not None else ""
    checked.values = named(checked.values, from_wire(request.olds), resource, request.randomSeed, proposed)


def diff_response(found: Difference, *, deletes_first: bool) -> provider_pb2.DiffResponse:
    """Differences in the protocol's form; where one replaces, they are all shown as doing so."""
    kinds = provider_pb2.PropertyDiff
    suffix = "_REPLACE" if found.replaces else ""
    some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
    detail = {
        path: kinds(kind=kinds.Kind.Value(f"{kind.upper()}{suffix}")) for path, kind in sorted(found.changes.items())
    }
    return provider_pb2.DiffResponse(
        changes=some if detail else none,
        diffs=sorted({top_level(path) for path in found.changes}),
        replaces=sorted({top_level(path) for path in found.replaces}),
        deleteBeforeReplace=bool(found.replaces) and deletes_first,
        detailedDiff=detail,
        hasDetailedDiff=True,
    )


def outputs_of(resource: Resource, outputs: Mapping[str, Any]) -> struct_pb2.Struct:
    """All properties of the schema, what is sensitive as a secret."""
    return to_wire(shaped(resource.schema, outputs), resource.schema)


def inputs_of(resource: Resource, inputs: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """Inputs that fit what was read; those of an import are made from it."""
    if not inputs:
        return imported(resource.schema, found.outputs)
    return refreshed(resource.schema, inputs, resource.adapted(found.outputs, inputs))


def sealed_settings(settings: struct_pb2.Struct) -> struct_pb2.Struct:
    """The provider's settings; registries' passwords as a secret."""
    sealed = struct_pb2.Struct()
    sealed.CopyFrom(settings)
    registries = settings.fields.get("registryAuth")
    if registries is not None and '"password"' in registries.string_value:
        sealed.update({"registryAuth": {SIGNATURE: SECRET, "value": registries.string_value}})
    return sealed


def listed(prefix: str, error: DockerPluginError) -> str:
    """An error as the official plugin shows it."""
    return f"{prefix}1 error occurred:\n\t* {error}\n\n"


def abort(context: grpc.ServicerContext, text: str) -> NoReturn:
    """Ends a call with an error."""
    context.abort(grpc.StatusCode.UNKNOWN, text)
    raise AssertionError("a call goes on after its end")


def abort_initialized(
    context: grpc.ServicerContext, request: Any, resource: Resource, error: PartialError, text: str
) -> NoReturn:
    """Tells the Pulumi engine that the object exists but is not as declared; the next ``up`` updates it."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=request.id, properties=outputs_of(resource, error.outputs), inputs=request.old_inputs, reasons=[text]
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=text)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    abort(context, text)
