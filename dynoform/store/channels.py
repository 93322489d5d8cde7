"""Channels of the store's notifications.

The payload is the id of a build or release (jobs, cancels, build output), of an add-on's change, else of an app, or the
channel's name.
"""

JOBS = "jobs"
CANCELS = "cancels"
DEPLOYS = "deploys"
"""Deploys are told of before there is a job, so that somebody is there to take it."""
FORMATION = "formation"
ROUTES = "routes"
BUILD_OUTPUT = "build_output"
ADDON_WORK = "addon_work"
ADDON_DONE = "addon_done"
WEBHOOKS = "webhooks"
RUNS = "runs"
DRAINS = "drains"
