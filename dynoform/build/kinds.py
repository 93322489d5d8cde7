"""Which class does which kind of job. A new kind has a file of its own and a line here."""

from collections.abc import Mapping

from dynoform.build.build_job import BuildJob
from dynoform.build.expiry_job import ExpiryJob
from dynoform.build.job import Job
from dynoform.build.purge_job import PurgeJob
from dynoform.build.relay_job import RelayJob
from dynoform.build.release_job import ReleaseJob
from dynoform.build.setup_job import SetupJob
from dynoform.build.slug_job import SlugJob
from dynoform.domain.jobs import Kind

CLASSES: Mapping[Kind, type[Job]] = {
    Kind.BUILD: BuildJob,
    Kind.RELEASE: ReleaseJob,
    Kind.EXPIRE_SLUGS: ExpiryJob,
    Kind.PURGE_CACHE: PurgeJob,
    Kind.SETUP: SetupJob,
    Kind.SLUG: SlugJob,
    Kind.RELAY: RelayJob,
}
HEAVY = frozenset({Kind.BUILD, Kind.SLUG})
"""They need a processor: one at a time in a shift. The others mostly wait for something."""
LIGHT = frozenset(Kind) - HEAVY
