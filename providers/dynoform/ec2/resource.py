"""What all resources at EC2 have in common: a region, a stack, drift that the next update mends, import by id."""

from abc import ABC, abstractmethod
from typing import ClassVar

from ..engine import Operation
from ..errors import PartialError, ProviderError
from ..resource import Difference, Resource, Values
from .aws import Aws
from .ownership import split


class Ec2Resource(Resource, ABC):
    """Inputs ``region`` and ``stack`` besides its own; its id is ``<region>/<AWS's id>``.

    ``drift`` tells what a refresh found to be otherwise than declared. ``resource`` is the name by which its parts are
    known, the logical name of the first day.
    """

    replacing: ClassVar = frozenset({"region", "stack"})

    def diff(self, olds: Values, news: Values) -> Difference:
        """Also differs, by ``drift``, when a refresh found something. What is replaced is removed first: see ADR 23."""
        found = super().diff(olds, news)
        changed = found.changed | ({"drift"} if olds.get("drift") else frozenset())
        return Difference(changed, found.replaces, delete_first=bool(found.replaces))

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Finds what a killed create has left, or makes it; then brings it to what is declared.

        A failure before there is anything leaves nothing; one after it is a ``PartialError``, so that what was made is
        in the state: the next ``up`` continues, and ``destroy`` removes it.
        """
        aws = Aws(operation, inputs["region"])
        own = self.obtain(aws, operation.name, inputs)
        identifier = f"{inputs['region']}/{own}"
        return identifier, self._converged(aws, identifier, {"resource": operation.name, **inputs})

    def read(self, operation: Operation, identifier: str, state: Values) -> Values | None:
        """As it is now, with the drift; an import has no state, and gets its inputs from what is there."""
        region, own = split(identifier)
        if not own:
            raise ProviderError(identifier, "is no id of this resource", "give <region>/<id>, as eu-central-1/vpc-0123")
        if state:
            return self.observe(Aws(operation, region), own, state)
        found = self.imported(Aws(operation, region), own, {"region": region, "resource": operation.name})
        return None if found is None else self.observe(Aws(operation, region), own, found)

    def update(self, operation: Operation, identifier: str, olds: Values, news: Values) -> Values:
        """Brings it to what is declared now."""
        aws = Aws(operation, news["region"])
        return self._converged(aws, identifier, {"resource": olds.get("resource") or operation.name, **news})

    def delete(self, operation: Operation, identifier: str, state: Values) -> None:
        """Removes all its parts, also those that the state does not know."""
        self.remove(Aws(operation, state["region"]), split(identifier)[1], state)

    def _converged(self, aws: Aws, identifier: str, values: Values) -> Values:
        try:
            return {**values, **self.converge(aws, split(identifier)[1], values), "drift": []}
        except ProviderError as error:
            # What is in the state as drift is tried again by the next update.
            raise PartialError(error, identifier, {**values, "drift": [str(error)]}) from error

    @abstractmethod
    def obtain(self, aws: Aws, resource: str, inputs: Values) -> str:
        """AWS's id of its first part, which is found or made."""

    @abstractmethod
    def converge(self, aws: Aws, own: str, values: Values) -> Values:
        """Makes all else so; returns its outputs."""

    @abstractmethod
    def observe(self, aws: Aws, own: str, state: Values) -> Values | None:
        """``state`` with outputs and ``drift`` as they are; None when it is gone."""

    @abstractmethod
    def imported(self, aws: Aws, own: str, known: Values) -> Values | None:
        """All inputs, read from what is there; None when nothing is."""

    @abstractmethod
    def remove(self, aws: Aws, own: str, state: Values) -> None:
        """Removes it; parts that are gone already are no error."""
