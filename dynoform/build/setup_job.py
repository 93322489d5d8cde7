"""An app set up from what its source says of itself: config vars, add-ons, a build, dynos, a command.

https://devcenter.heroku.com/articles/setting-up-apps-using-the-heroku-platform-api. What is done is in the setup's row,
so whoever takes the job over goes on from there. The job goes twice through the app's queue: once before the build, and
once behind it, when the release that it made has run its command.
"""

import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.build.command_job import CommandJob, PhaseFailedError
from dynoform.build.job import Tools
from dynoform.build.release_dyno import Phase
from dynoform.build.source import Source
from dynoform.domain import (
    addons,
    app_setups,
    builds,
    config_vars,
    dyno_lines,
    dyno_names,
    dyno_sizes,
    formations,
    one_off,
    releases,
    stacks,
    webhooks,
)
from dynoform.domain.app_setups import ManifestError
from dynoform.errors import DynoformError, InvalidInputError, UnavailableError
from dynoform.store import addon_services, dyno_metadata, hosts, jobs, snapshots
from dynoform.store import addons as addon_store
from dynoform.store import app_setups as store
from dynoform.store import apps as app_store
from dynoform.store import builds as build_store
from dynoform.store.releases import add_config, config_of, create_release, current_release, lock_app, newest_release
from dynoform.store.session import FORMATION, ROUTES, notify
from dynoform.store.tables import (
    Account,
    Addon,
    AddonChange,
    App,
    AppSetup,
    AppSetupOutput,
    Build,
    BuildpackInstallation,
    Formation,
    Release,
)
from dynoform.store.tables import Source as SourceRow
from dynoform.store.webhooks import publish

if TYPE_CHECKING:
    from dynoform.domain.app_manifest import Manifest, Wish

_LOOK_SECONDS = 1.0


class SetupJob(CommandJob):
    """The work on one app setup, up to the next point where something else has to be done first."""

    noun = "postdeploy script"
    seconds = app_setups.SECONDS

    def __init__(self, tools: Tools, claim: jobs.Claim) -> None:
        """Of an app setup's id."""
        name = dyno_names.name(one_off.RUN, app_setups.dyno_number(claim.id))
        super().__init__(tools, claim, AppSetupOutput, name)
        self.folder = tempfile.TemporaryDirectory(prefix="setup-", ignore_cleanup_errors=True)

    def work(self) -> None:
        """Do what the row says is next."""
        setup = self._setup()
        if setup.plan is None:
            self._prepare(setup)
        if setup.build_id is None:
            self._wait_for_addons()
            self._ask_for_build()
            return
        phase = self._deployed()
        code = self.run_command(phase) if phase else None
        if code:
            self.until_stored(lambda: self._note(postdeploy_exit_code=code))
            raise PhaseFailedError(f"the {self.noun} exited with status {code}")
        self.until_stored(lambda: self._succeed(code))
        self.tools.journal.info("app set up", setup=setup.id, app=setup.app_name)

    def begun(self, phase: Phase) -> None:
        """Tell what runs."""
        self.log(dyno_lines.run_by_user(phase.command, phase.email))

    def fail(self, error: DynoformError) -> None:
        """Say why; the app goes, as on Heroku, and the setup stays."""
        if self.claim.started_at:
            self.find_dyno()
        problems = error.problems if isinstance(error, ManifestError) else []
        reason = error.what if problems else str(error)
        if isinstance(error, UnavailableError):
            reason = app_setups.UNAVAILABLE
        self.until_stored(lambda: self._give_up(reason, problems))
        self.tools.journal.info("app setup failed", setup=self.claim.id, app=self.claim.app_id, reason=error)

    def clear(self) -> None:
        """Remove the dyno, unless somebody goes on with it, and what was fetched."""
        self.folder.cleanup()
        super().clear()

    def _setup(self) -> AppSetup:
        with self.tools.store.transaction() as session:
            return self._held(session)

    def _held(self, session: Session) -> AppSetup:
        jobs.held(session, self.claim)
        return session.get_one(AppSetup, self.claim.id)

    def _app(self, session: Session) -> App:
        """The app, locked."""
        app = lock_app(session, self.claim.app_id)
        if app is None:
            raise jobs.LeaseLostError(f"app {self.claim.app_id}", "is gone")
        return app

    def _prepare(self, setup: AppSetup) -> None:
        """Read the source, set config vars, ask for add-ons: one transaction, so that none of it is done twice."""
        from dynoform.domain import app_manifest  # with what it needs it takes time to import, and few jobs do

        texts = Source.inspect(self._tarball(setup)).texts
        overrides = self.tools.vault.decrypt(setup.app_id, setup.overrides)
        manifest = app_manifest.read(texts.get("app.json"), texts.get(stacks.MANIFEST), setup.stack)
        config = app_manifest.config(manifest.env, overrides)
        self._announce(self._apply(manifest, config))

    def _tarball(self, setup: AppSetup) -> Path:
        with self.tools.store.transaction() as session:
            source = session.get(SourceRow, setup.source_id) if setup.source_id else None
        if source is None:
            raise InvalidInputError("source", "is gone", "upload it again")
        if source.url is None:
            return self.tools.uploads.path(source.id, Path(self.folder.name))
        path = Path(self.folder.name) / "source"
        self.tools.downloader.fetch(source.url, path, source.checksum)
        return path

    def _apply(self, manifest: "Manifest", config: dict[str, str]) -> list[Release]:
        made = []
        with self.tools.store.transaction() as session:
            app, setup = self._app(session), self._held(session)
            app.stack = manifest.stack
            buildpacks = setup.buildpacks or manifest.buildpacks
            for ordinal, buildpack in enumerate(buildpacks):
                session.add(BuildpackInstallation(app_id=app.id, ordinal=ordinal, buildpack=buildpack))
            change = config_vars.merge(config_of(session, self.tools.vault, newest_release(session, app.id)), config)
            if not change.empty:
                description = releases.config_changed(change.set, change.removed)
                added = add_config(session, self.tools.vault, app.id, change.config)
                made.append(
                    create_release(session, app, description=description, account_id=setup.account_id, config=added)
                )
            wanted = [self._ask_for(session, app, setup, wish) for wish in manifest.addons]
            script = manifest.postdeploy
            setup.plan = {
                "addons": [str(addon.id) for addon in wanted],
                "formation": {name: dict(scale) for name, scale in manifest.formation.items()},
                "postdeploy": {"command": script.command, "size": script.size} if script else None,
                "success_url": manifest.success_url,
            }
        return made

    def _ask_for(self, session: Session, app: App, setup: AppSetup, wish: "Wish") -> Addon:
        plan = addon_services.find_plan(session, wish.plan)
        if plan is None or plan.state == "shutdown":
            raise ManifestError([f"{wish.path}: Couldn't find that add-on plan ({wish.plan[:60]})."])
        account = session.get_one(Account, setup.account_id)
        options = dict(wish.options)
        try:
            addon, _ = addon_store.create(
                session, self.tools.vault, app, plan, account, attachment=wish.attachment, options=options
            )
        except InvalidInputError as error:
            raise ManifestError([f"{wish.path}: {error}"]) from None
        return addon

    def _wait_for_addons(self) -> None:
        """Until they are all there: the build and the release may need their config vars."""
        while waits := self._waits():
            self.keeper.check()
            if self.keeper.late:
                raise InvalidInputError(f"add-on {waits}", f"was not there after {app_setups.SECONDS // 60} minutes")
            time.sleep(_LOOK_SECONDS)

    def _waits(self) -> str | None:
        """The name of an add-on that is not there yet. Raises ``InvalidInputError`` for one that will not come."""
        with self.tools.store.transaction() as session:
            setup = self._held(session)
            for identifier in map(uuid.UUID, (setup.plan or {})["addons"]):
                addon = session.get(Addon, identifier)
                if addon is None or addon.state in (addons.DEPROVISIONING, addons.DEPROVISIONED):
                    raise InvalidInputError("add-on", self._refusal(session, identifier))
                if addon.state == addons.PROVISIONING:
                    return addon.name
        return None

    def _refusal(self, session: Session, addon_id: uuid.UUID) -> str:
        query = select(AddonChange.failure).where(AddonChange.addon_id == addon_id, AddonChange.failure.is_not(None))
        return session.scalar(query.order_by(AddonChange.created_at.desc()).limit(1)) or "was destroyed meanwhile"

    def _ask_for_build(self) -> None:
        """Have it built, and this job go on behind the build."""
        with self.tools.store.transaction() as session:
            app, setup = self._app(session), self._held(session)
            source = session.get(SourceRow, setup.source_id) if setup.source_id else None
            if source is None:
                raise InvalidInputError("source", "is gone", "upload it again")
            jobs.finish(session, self.claim)
            build = build_store.add_build(session, app, source, account_id=setup.account_id, version=setup.version)
            setup.build_id = build.id
            store.add_job(session, setup)
            email = build.account.email
        self.log(f"Build started by user {email}")

    def _deployed(self) -> Phase | None:
        """Scale what the build has brought; what the postdeploy script runs as, None when there is none."""
        with self.tools.store.transaction() as session:
            app, setup = self._app(session), self._held(session)
            build, plan = session.get(Build, setup.build_id), setup.plan or {}
            if build is None or build.status == builds.PENDING:
                raise UnavailableError("build", "has not ended")
            if build.status == builds.FAILED:
                raise InvalidInputError(f"build failed: {build.failure}")
            made = session.get(Release, build.release_id) if build.release_id else None
            release = current_release(session, app.id)
            if made is None or made.status == releases.FAILED or release is None or release.slug is None:
                raise InvalidInputError("the release command failed")
            scaled = self._scale(session, app, plan["formation"])
            email, script = session.get_one(Account, setup.account_id).email, plan["postdeploy"]
            phase = self._phase(session, app, release, email, script) if script else None
        if scaled and not self.claim.started_at:
            self.log(formations.scaled(scaled, email))
        return phase

    def _scale(self, session: Session, app: App, wanted: dict[str, Any]) -> list[formations.Scale]:
        rows = {row.type: row for row in session.scalars(select(Formation).where(Formation.app_id == app.id))}
        if unknown := sorted(wanted.keys() - rows.keys()):
            raise ManifestError([f"formation.{name}: {formations.unknown_type(name)}" for name in unknown])
        scaled = []
        for name, scale in wanted.items():
            present = formations.Scale(name, rows[name].quantity, rows[name].size)
            try:
                after = formations.scale(present, scale.get("quantity"), scale.get("size"))
                dyno_sizes.check_fits(after.size, hosts.largest_memory(session))
            except InvalidInputError as error:
                raise ManifestError([f"formation.{name}: {error}"]) from None
            rows[name].quantity, rows[name].size = after.quantity, after.size
            scaled.append(after)
        notify(session, FORMATION, app.id)
        return scaled

    def _phase(self, session: Session, app: App, release: Release, email: str, script: dict[str, str]) -> Phase:
        slug = release.slug
        assert slug is not None  # noqa: S101 - the caller has looked
        told = dyno_metadata.of(session, self.tools.configuration.domain, app, release, self.claim.id)
        return Phase(
            self.claim.id,
            app.id,
            app.name,
            release.version,
            self.name,
            email,
            one_off.expand(script["command"], slug.process_types),
            slug.image_of(one_off.RUN),
            slug.stack == stacks.CONTAINER,
            script["size"],
            config_of(session, self.tools.vault, release) | told,
        )

    def _note(self, **values: object) -> None:
        with self.tools.store.transaction() as session:
            setup = self._held(session)
            for name, value in values.items():
                setattr(setup, name, value)

    def _succeed(self, code: int | None) -> None:
        self.output.flush()
        with self.tools.store.transaction() as session:
            app, setup = self._app(session), self._held(session)
            jobs.finish(session, self.claim)
            address = self.tools.configuration.web_url(app.name)
            store.end(session, setup, app_setups.SUCCEEDED)
            setup.postdeploy_exit_code = code
            setup.resolved_success_url = app_setups.resolved((setup.plan or {})["success_url"], address)
        self.finished = True

    def _give_up(self, reason: str, problems: list[str]) -> None:
        self.output.flush()
        with self.tools.store.transaction() as session:
            app, setup = self._app(session), self._held(session)
            jobs.finish(session, self.claim)
            store.end(session, setup, app_setups.FAILED)
            setup.failure_message, setup.manifest_errors = reason, problems
            session.flush()
            self._publish_end(session, app, setup)
            addon_store.abandon(session, self.tools.vault, app, setup.account_id)
            app_store.delete(session, app)
            for channel in (ROUTES, FORMATION):
                notify(session, channel, app.id)
        self.finished = True

    def _publish_end(self, session: Session, app: App, setup: AppSetup) -> None:
        def data() -> snapshots.Snapshot:
            release = current_release(session, app.id)
            slug = release.slug if release else None
            described = (slug.size, slug.buildpack_provided_description) if slug else (None, None)
            return snapshots.app(self.tools.configuration, app, *described)

        actor = session.get_one(Account, setup.account_id)
        publish(session, app.id, "api:app", webhooks.DESTROY, data, actor=actor)

    def _announce(self, made: list[Release]) -> None:
        for release in made:
            email = release.account.email
            self.log(releases.created_by(release.version, email))
            self.log(releases.by_user(release.description, email))
