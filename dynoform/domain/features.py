"""Features: what can be turned on for an app or an account, by ``heroku features`` and ``heroku labs``.

The CLI shows those in state ``general`` under ``features``, all others under ``labs``.
"""

from dataclasses import dataclass

from dynoform.domain import dyno_metadata

PREBOOT = "preboot"
AFFINITY = "http-session-affinity"
"""A client stays with the web dyno that it had first, by a cookie of the routers."""
STRICT_TRANSPORT_SECURITY = "http-strict-transport-security"
STRICT_TRANSPORT_SECURITY_HEADER = "max-age=31536000"
"""A year, of this host alone (RFC 6797): what is below it may not have https, and preloading is the owner's affair."""
_ARTICLES = "https://devcenter.heroku.com/articles/"


@dataclass(frozen=True)
class Feature:
    """One feature; ``default`` is whether it is on for who never chose."""

    name: str
    display_name: str
    description: str
    article: str
    state: str = "general"
    default: bool = False

    @property
    def doc_url(self) -> str:
        """Where the feature is documented."""
        return _ARTICLES + self.article


APP = (
    Feature(
        AFFINITY,
        "HTTP Session Affinity",
        "Enable session affinity for all requests",
        "session-affinity",
    ),
    Feature(
        STRICT_TRANSPORT_SECURITY,
        "HTTP Strict Transport Security",
        "Have browsers use https alone, and send requests by http there",
        "ssl",
    ),
    Feature(
        "log-runtime-metrics",
        "Log Runtime Metrics",
        "Emit dyno resource usage information into app logs",
        "log-runtime-metrics",
        state="beta",
    ),
    Feature(
        PREBOOT,
        "Preboot",
        "Provide seamless web dyno deploys",
        "preboot",
    ),
    Feature(
        dyno_metadata.BUILD_FEATURE,
        "Dyno Build Metadata",
        "Build metadata available in the process environment variables",
        "dyno-metadata",
        state="beta",
    ),
    Feature(
        dyno_metadata.FEATURE,
        "Dyno Metadata",
        "Dyno metadata available in the process environment variables",
        "dyno-metadata",
        state="beta",
    ),
    Feature(
        "runtime-heroku-exec",
        "Heroku Exec",
        "SSH tunneling and other features for apps",
        "exec",
        # Dynos need nothing for it. On, so that the CLI does not restart them first.
        default=True,
    ),
    Feature(
        "runtime-heroku-metrics",
        "Runtime Heroku Metrics",
        "Export language runtime metrics from dynos",
        "language-runtime-metrics",
        state="beta",
    ),
)
ACCOUNT = (
    Feature(
        "dashboard-repositories-api",
        "Repositories API",
        "Keep the repositories of pipelines in the Platform API",
        "pipelines",
        state="beta",
        default=True,
    ),
)
TEAM = (
    Feature(
        "org-access-controls",
        "App Permissions",
        "Share a team's apps with view, deploy, operate and manage permissions",
        "app-permissions",
        default=True,
    ),
    Feature(
        "team-invite-acceptance",
        "Team Invite Acceptance",
        "People who are added to a team by its admins have to accept an invitation first",
        "heroku-teams",
    ),
)
"""Of every team alike: permissions per app are always there, and admins add members at once."""


def by_name(features: tuple[Feature, ...], name: str) -> Feature | None:
    """The feature with this name, or None."""
    return next((feature for feature in features if feature.name == name), None)
