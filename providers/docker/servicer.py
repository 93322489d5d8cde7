"""The plugin's gRPC face: which resource type answers, values to plain ones and back, errors as the official plugin.

Protocol: https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto, whose messages the SDK brings.

The SDK's ``pulumi.provider.experimental`` is not used: it shows neither old inputs nor autonaming, cannot say that a
resource exists but failed, and answers errors with tracebacks.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from providers.engine_log import Log

from .answers import (
    NOT_SERVED,
    abort,
    abort_initialized,
    diff_response,
    give_name,
    inputs_of,
    listed,
    name_of,
    outputs_of,
    sealed_settings,
    type_of,
)
from .check import check
from .configuration import Configuration, configuration, refusals
from .diff import Difference, difference, planned
from .engine import Engine
from .errors import ConversionError, DockerPluginError, PartialError
from .operation import DEFAULT_TIMEOUT, Operation
from .resource import Resource
from .schema_document import schema_document
from .shape import previewed
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
        return provider_pb2.CheckResponse(inputs=sealed_settings(request.news), failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        """Another engine or other credentials replace nothing."""
        olds, news = from_wire(request.olds), from_wire(request.news)
        names = sorted(name for name in {*olds, *news} - {"version"} if olds.get(name) != news.get(name))
        return diff_response(Difference(dict.fromkeys(names, "update")), deletes_first=False)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ConfigureResponse:  # noqa: N802
        """Remembers the settings; the engine is contacted at the first use."""
        try:
            self._engine = Engine(configuration(from_wire(request.args), os.environ))
        except ValueError as error:
            abort(context, f"docker:registryAuth: is not JSON: {error}")
        return provider_pb2.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:  # noqa: N802
        """No functions are served."""
        abort(context, f"{request.tok}: {NOT_SERVED}")

    def Check(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: N802
        """Validates inputs, fills in defaults and the name."""
        resource = self._resources.get(type_of(request))
        if resource is None:
            failure = provider_pb2.CheckFailure(reason=f"{type_of(request)}: {NOT_SERVED}")
            return provider_pb2.CheckResponse(failures=[failure])
        name = name_of(request)
        try:
            checked = check(resource.schema, from_wire(request.news), name)
        except ConversionError as error:
            abort(context, str(error))
        if resource.autonamed:
            give_name(checked, request, name)
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
            found = found.without(list(request.ignoreChanges))
            return diff_response(found, deletes_first=resource.deletes_first(inputs))

        return self._answer(request, context, diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:  # noqa: N802
        """Makes the object."""
        inputs = from_wire(request.properties)

        def create(resource: Resource) -> provider_pb2.CreateResponse:
            if request.preview:
                outputs = previewed(resource.schema, inputs)
                return provider_pb2.CreateResponse(properties=to_wire(outputs, resource.schema))
            found = resource.create(self._operation(request), self._engine, inputs)
            return provider_pb2.CreateResponse(id=found.identifier, properties=outputs_of(resource, found.outputs))

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
                properties=outputs_of(resource, found.outputs),
                inputs=to_wire(inputs_of(resource, inputs, found), resource.schema),
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
            return provider_pb2.UpdateResponse(properties=outputs_of(resource, outputs))

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
        resource = self._resources.get(type_of(request))
        if resource is None:
            abort(context, f"{type_of(request)}: {NOT_SERVED}")
        try:
            return ask(resource)
        except PartialError as error:
            abort_initialized(context, request, resource, error, listed(prefix, error))
        except DockerPluginError as error:
            abort(context, listed(prefix, error))
