"""The plugin's gRPC face: which resource type answers, values to plain ones and back, errors as the official plugin.

Protocol: https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto, whose messages the SDK brings.

The SDK's ``pulumi.provider.experimental`` is not used: it shows neither old inputs nor autonaming, cannot say that a
resource exists but failed, and answers errors with tracebacks.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from .check import Checked, check
from .configuration import Configuration, configuration, refusals
from .diff import Difference, difference, planned, top_level
from .engine import Engine
from .errors import ConversionError, DockerPluginError, PartialError
from .naming import named
from .operation import DEFAULT_TIMEOUT, Log, Operation
from .resource import Found, Resource
from .schema_document import schema_document
from .shape import imported, previewed, refreshed, shaped
from .wire import from_wire, to_wire

VERSION = "5.2.0"
"""Of the official plugin and the SDK that this one stands for."""

Answer = TypeVar("Answer")


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves ``resources``. Methods bear the protocol's names."""

    def __init__(self, resources: Sequence[Resource], log: Log) -> None:
        """``log`` takes the messages of running operations."""
        self._resources = {resource.token: resource for resource in resources}
        self._log = log
        self._cancelled = threading.Event()
        self._engine = Engine(Configuration())

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ProviderHandshakeResponse:  # noqa: N802
        """Plain values are asked for; projects may say how resources are named."""
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """The version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.GetSchemaResponse:  # noqa: N802
        """The types that are served."""
        return provider_pb2.GetSchemaResponse(schema=schema_document(self._resources.values(), VERSION))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: N802
        """Refuses settings that are not served."""
        settings = from_wire(request.news)
        failures = [provider_pb2.CheckFailure(reason=reason) for reason in refusals(settings)]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        """Another engine or other credentials replace nothing."""
        olds, news = from_wire(request.olds), from_wire(request.news)
        names = sorted(name for name in {*olds, *news} - {"version"} if olds.get(name) != news.get(name))
        return _diff_response(Difference(dict.fromkeys(names, "update")), deletes_first=False)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ConfigureResponse:  # noqa: N802
        """Remembers the settings; the engine is contacted at the first use."""
        try:
            self._engine = Engine(configuration(from_wire(request.args), os.environ))
        except ValueError as error:
            _abort(context, f"docker:registryAuth: is not JSON: {error}")
        return provider_pb2.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:  # noqa: N802
        """No functions are served."""
        _abort(context, f"{request.tok}: {NOT_SERVED}")

    def Check(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: N802
        """Validates inputs, fills in defaults and the name."""
        resource = self._resources.get(_type(request))
        if resource is None:
            failure = provider_pb2.CheckFailure(reason=f"{_type(request)}: {NOT_SERVED}")
            return provider_pb2.CheckResponse(failures=[failure])
        name = _name(request)
        try:
            checked = check(resource.schema, from_wire(request.news), name)
        except ConversionError as error:
            _abort(context, str(error))
        if resource.autonamed:
            _give_name(checked, request, name)
        for warning in checked.warnings:
            self._log(request.urn, warning, warning=True)
        failures = [provider_pb2.CheckFailure(reason=reason) for reason in checked.failures]
        if failures:
            return provider_pb2.CheckResponse(failures=failures)
        return provider_pb2.CheckResponse(inputs=to_wire(checked.values, resource.schema))

    def Diff(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        """What differs between the state and the inputs."""
        state, inputs = from_wire(request.olds), from_wire(request.news)

        def diff(resource: Resource) -> provider_pb2.DiffResponse:
            found = difference(resource.schema, resource.adapted(state, inputs), inputs)
            return _diff_response(found.without(list(request.ignoreChanges)), resource.deletes_first(inputs))

        return self._answer(request, context, diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:  # noqa: N802
        """Makes the object."""
        inputs = from_wire(request.properties)

        def create(resource: Resource) -> provider_pb2.CreateResponse:
            if request.preview:
                outputs = previewed(resource.schema, inputs)
                return provider_pb2.CreateResponse(properties=to_wire(outputs, resource.schema))
            found = resource.create(self._operation(request), self._engine, inputs)
            return provider_pb2.CreateResponse(id=found.identifier, properties=_outputs(resource, found.outputs))

        return self._answer(request, context, create)

    def Read(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:  # noqa: N802
        """The object as it is now; an empty id where there is none."""
        state, inputs = from_wire(request.properties), from_wire(request.inputs)

        def read(resource: Resource) -> provider_pb2.ReadResponse:
            if not state and not inputs and not resource.importable:
                return provider_pb2.ReadResponse()
            found = resource.read(self._operation(request), self._engine, request.id, {**inputs, **state})
            if found is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=found.identifier,
                properties=_outputs(resource, found.outputs),
                inputs=to_wire(_inputs(resource, inputs, found), resource.schema),
            )

        return self._answer(request, context, read)

    def Update(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:  # noqa: N802
        """Changes the object in place."""
        state, inputs = from_wire(request.olds), from_wire(request.news)

        def update(resource: Resource) -> provider_pb2.UpdateResponse:
            if request.preview:
                outputs = planned(resource.schema, state, inputs)
            else:
                outputs = resource.update(self._operation(request), self._engine, request.id, state, inputs)
            return provider_pb2.UpdateResponse(properties=_outputs(resource, outputs))

        return self._answer(request, context, update, f"updating {request.urn}: ")

    def Delete(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Removes the object."""
        state = from_wire(request.properties)

        def delete(resource: Resource) -> empty_pb2.Empty:
            resource.delete(self._operation(request), self._engine, request.id, state)
            return empty_pb2.Empty()

        return self._answer(request, context, delete, f"deleting {request.urn}: ")

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Ends what runs, soon and in order."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def _operation(self, request: Any) -> Operation:
        return Operation(request.urn, self._log, self._cancelled, request.timeout or DEFAULT_TIMEOUT)

    def _answer(
        self, request: Any, context: grpc.ServicerContext, ask: Callable[[Resource], Answer], prefix: str = ""
    ) -> Answer:
        resource = self._resources.get(_type(request))
        if resource is None:
            _abort(context, f"{_type(request)}: {NOT_SERVED}")
        try:
            return ask(resource)
        except PartialError as error:
            _abort_initialized(context, request, resource, error, _listed(prefix, error))
        except DockerPluginError as error:
            _abort(context, _listed(prefix, error))


NOT_SERVED = (
    "is not served by this docker plugin, which has RemoteImage, Volume, Secret, ServiceConfig, Service and Network — "
    "use Pulumi's own docker plugin 5.2.0 for it"
)


def _type(request: Any) -> str:
    return str(request.urn).split("::")[-2].rsplit("$", 1)[-1]


def _name(request: Any) -> str:
    return str(request.urn).split("::")[-1]


def _give_name(checked: Checked, request: Any, resource: str) -> None:
    rule = request.autonaming if request.HasField("autonaming") else None
    modes = provider_pb2.CheckRequest.AutonamingOptions
    if rule is not None and rule.mode == modes.DISABLE and not checked.values.get("name"):
        checked.failures.append(
            f"Missing required argument: automatic naming is off. Examine values at '{resource}.name'."
        )
        return
    proposed = rule.proposed_name if rule is not None else ""
    checked.values = named(checked.values, from_wire(request.olds), resource, request.randomSeed, proposed)


def _diff_response(found: Difference, deletes_first: bool) -> provider_pb2.DiffResponse:
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


def _outputs(resource: Resource, outputs: Mapping[str, Any]) -> Any:
    return to_wire(shaped(resource.schema, outputs), resource.schema)


def _inputs(resource: Resource, inputs: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """Inputs that fit what was read; those of an import are made from it."""
    if not inputs:
        return imported(resource.schema, found.outputs)
    return refreshed(resource.schema, inputs, resource.adapted(found.outputs, inputs))


def _listed(prefix: str, error: DockerPluginError) -> str:
    return f"{prefix}1 error occurred:\n\t* {error}\n\n"


def _abort(context: grpc.ServicerContext, text: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, text)
    raise AssertionError("a call goes on after its end")


def _abort_initialized(
    context: grpc.ServicerContext, request: Any, resource: Resource, error: PartialError, text: str
) -> NoReturn:
    """Tells the Pulumi engine that the object exists but is not as declared; the next ``up`` updates it."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=request.id, properties=_outputs(resource, error.outputs), inputs=request.old_inputs, reasons=[text]
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=text)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _abort(context, text)
