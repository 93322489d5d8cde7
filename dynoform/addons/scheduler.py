"""The provider of the add-on ``scheduler``: a place for an app's jobs, which are rows that go with the add-on's own."""

from dynoform.addons.provider import Answer, Resource


class SchedulerProvider:
    """Has nothing to make: the jobs come by the API, and the reconciler's process runs them."""

    def provision(self, wanted: Resource) -> Answer:
        """It is there."""
        return Answer(message="Schedule jobs with POST /apps/{app}/scheduler-jobs")

    def change_plan(self, wanted: Resource) -> Answer:
        """All plans are alike."""
        return Answer()

    def deprovision(self, wanted: Resource) -> Answer:
        """The jobs go with the add-on."""
        return Answer()
