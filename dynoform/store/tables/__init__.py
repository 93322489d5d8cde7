"""Tables of the platform's store, one class per Heroku resource.

Names are the Platform API's (https://devcenter.heroku.com/articles/platform-api-reference). Ids are UUIDs made here,
times are UTC.
Secrets are stored as hashes (tokens) or encrypted (config vars): see ``dynoform.store.secrets``.
"""

from dynoform.store.tables.access import AppTransfer, Collaborator
from dynoform.store.tables.accounts import Account, Authorization, Key, OAuthClient
from dynoform.store.tables.acme import AcmeAccount, AcmeChallenge, AcmeSubject
from dynoform.store.tables.activity import AppActivity
from dynoform.store.tables.addons import Addon, AddonAttachment, AddonChange, AddonConfig, AddonService, Plan
from dynoform.store.tables.app_setups import AppSetup, AppSetupOutput
from dynoform.store.tables.apps import App
from dynoform.store.tables.base import Base, Identified, now
from dynoform.store.tables.builds import Build, BuildOutput, BuildpackInstallation, Push, Slug, Source
from dynoform.store.tables.databases import Database, DatabaseCredential, DatabaseLink, RedisMember
from dynoform.store.tables.domains import Domain, SniEndpoint
from dynoform.store.tables.exec_keys import ExecKey
from dynoform.store.tables.features import AccountFeature, AppFeature
from dynoform.store.tables.formation import Dyno, Formation
from dynoform.store.tables.hosts import DynoEnd, Host, HostReport, LeftVolume
from dynoform.store.tables.jobs import Job
from dynoform.store.tables.kafka import KafkaCluster
from dynoform.store.tables.leases import Lease
from dynoform.store.tables.log_drains import LogDrain
from dynoform.store.tables.one_off_dynos import OneOffDyno
from dynoform.store.tables.pipelines import (
    Pipeline,
    PipelineConfig,
    PipelineCoupling,
    PipelinePromotion,
    PromotionTarget,
)
from dynoform.store.tables.platform_certificates import PlatformCertificate
from dynoform.store.tables.pushed_images import PushedImage
from dynoform.store.tables.releases import Config, Release, ReleaseOutput
from dynoform.store.tables.route_changes import RouteChange
from dynoform.store.tables.scheduler_jobs import SchedulerJob
from dynoform.store.tables.stack_images import StackImage
from dynoform.store.tables.teams import Team, TeamInvitation, TeamMember
from dynoform.store.tables.telemetry_drains import TelemetryDrain
from dynoform.store.tables.transfers import Transfer, TransferSchedule
from dynoform.store.tables.webhooks import Webhook, WebhookDelivery, WebhookEvent

__all__ = [
    "Account",
    "AccountFeature",
    "AcmeAccount",
    "AcmeChallenge",
    "AcmeSubject",
    "Addon",
    "AddonAttachment",
    "AddonChange",
    "AddonConfig",
    "AddonService",
    "App",
    "AppActivity",
    "AppFeature",
    "AppSetup",
    "AppSetupOutput",
    "AppTransfer",
    "Authorization",
    "Base",
    "Build",
    "BuildOutput",
    "BuildpackInstallation",
    "Collaborator",
    "Config",
    "Database",
    "DatabaseCredential",
    "DatabaseLink",
    "Domain",
    "Dyno",
    "DynoEnd",
    "ExecKey",
    "Formation",
    "Host",
    "HostReport",
    "Identified",
    "Job",
    "KafkaCluster",
    "Key",
    "Lease",
    "LeftVolume",
    "LogDrain",
    "OAuthClient",
    "OneOffDyno",
    "Pipeline",
    "PipelineConfig",
    "PipelineCoupling",
    "PipelinePromotion",
    "Plan",
    "PlatformCertificate",
    "PromotionTarget",
    "Push",
    "PushedImage",
    "RedisMember",
    "Release",
    "ReleaseOutput",
    "RouteChange",
    "SchedulerJob",
    "Slug",
    "SniEndpoint",
    "Source",
    "StackImage",
    "Team",
    "TeamInvitation",
    "TeamMember",
    "TelemetryDrain",
    "Transfer",
    "TransferSchedule",
    "Webhook",
    "WebhookDelivery",
    "WebhookEvent",
    "now",
]
