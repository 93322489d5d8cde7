"""Finding pipelines, and promoting within them."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, inspect, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dynoform.domain import app_names, pipelines, releases
from dynoform.domain.teams import Role
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store import apps
from dynoform.store.releases import create_release, lock_app
from dynoform.store.tables import (
    Account,
    App,
    Pipeline,
    PipelineCoupling,
    PipelinePromotion,
    PromotionTarget,
    Release,
    Slug,
    TeamMember,
)

_OWN = {"id", "app_id", "created_at", "updated_at"}
"""What a copied slug does not take over."""


def visible_to(account: Account) -> Select[Pipeline]:
    """Query for the pipelines that this account owns, that a team of it owns, or that it has an app in."""
    coupled = select(PipelineCoupling.pipeline_id).where(PipelineCoupling.app_id.in_(_apps(account)))
    team = _of_teams(account, [role for role in Role if role.sees_team])
    return select(Pipeline).where(or_(_owned_by(account), team, Pipeline.id.in_(coupled)))


def couplings_visible_to(account: Account) -> Select[PipelineCoupling]:
    """Query for the couplings of the apps that this account may see."""
    return select(PipelineCoupling).where(PipelineCoupling.app_id.in_(_apps(account)))


def by_reference(session: Session, account: Account, reference: str, *, lock: bool = False) -> Pipeline | None:
    """The pipeline with this id or name, if the account may see it; of several with one name its own, or the oldest."""
    identifier = apps.parse_id(reference)
    if identifier is None and "\0" in reference:
        return None
    condition = Pipeline.id == identifier if identifier else Pipeline.name == reference
    query = visible_to(account).where(condition).order_by(_owned_by(account).desc(), Pipeline.created_at).limit(1)
    return session.scalars(query.with_for_update(of=Pipeline) if lock else query).one_or_none()


def is_owner(session: Session, account: Account, pipeline: Pipeline) -> bool:
    """Whether the account may change the pipeline itself: it is its own, or that of a team where it makes apps."""
    if pipeline.owner_type == pipelines.USER:
        return pipeline.owner_id == account.id
    mine = (TeamMember.team_id == pipeline.owner_id, TeamMember.account_id == account.id)
    role = session.scalar(select(TeamMember.role).where(*mine))
    return role is not None and Role(role).makes_apps


def save(session: Session, pipeline: Pipeline) -> None:
    """Store a new or changed pipeline. Raises ``InvalidInputError`` when its owner has another one of that name.

    The transaction is lost then.
    """
    name = pipeline.name
    session.add(pipeline)
    try:
        session.flush()
    except IntegrityError:
        raise app_names.taken(name) from None


def owned(account: Account) -> Select[Pipeline]:
    """Query for the pipelines that the account itself owns, oldest first."""
    return select(Pipeline).where(_owned_by(account)).order_by(Pipeline.created_at, Pipeline.id)


def hand_over(session: Session, account: Account, heir: Account) -> None:
    """Give the heir the pipelines that the account owns, with a number to their names where it has others of these."""
    taken = set(session.scalars(owned(heir).with_only_columns(Pipeline.name)))
    for pipeline in session.scalars(owned(account).with_for_update()).all():
        pipeline.name, pipeline.owner_id = pipelines.free_name(pipeline.name, taken), heir.id
        taken.add(pipeline.name)
        save(session, pipeline)


def promote(
    session: Session, pipeline: Pipeline, source: App, release: Release, targets: Sequence[App], account: Account
) -> tuple[PipelinePromotion, list[Release]]:
    """Release the slug of ``source``'s ``release`` in each target, with the target's own config vars.

    All in the caller's transaction: killed half-way nothing was promoted, else every target has its release or the
    reason why it has none. Targets are locked in one order, so that two promotions cannot wait for each other. Raises
    ``NotFoundError`` when a target has just been deleted.
    """
    promotion = PipelinePromotion(id=uuid.uuid4(), pipeline_id=pipeline.id, app_id=source.id, release_id=release.id)
    session.add(promotion)
    session.flush()
    for app in sorted(targets, key=lambda each: each.id):
        if lock_app(session, app.id) is None:
            raise NotFoundError("Couldn't find that app.", resource="app")
    made = []
    for app in targets:
        target = PromotionTarget(promotion_id=promotion.id, app_id=app.id)
        try:
            with session.begin_nested():
                target.release = _release(session, source, release, app, account)
                made.append(target.release)
        except InvalidInputError as error:
            target.error_message = str(error)
        session.add(target)
        session.flush()
    return promotion, made


def targets_of(promotion: PipelinePromotion) -> Select[PromotionTarget]:
    """Query for what became of a promotion, app by app."""
    return select(PromotionTarget).where(PromotionTarget.promotion_id == promotion.id)


def _release(session: Session, source: App, release: Release, target: App, account: Account) -> Release:
    if release.slug is None:
        raise InvalidInputError(f"Release {releases.name(release.version)} of {source.name} has no slug any more.")
    taken = {
        column.key: getattr(release.slug, column.key) for column in inspect(Slug).column_attrs if column.key not in _OWN
    }
    slug = Slug(id=uuid.uuid4(), app_id=target.id, **taken)
    session.add(slug)
    description = releases.promoted(source.name, release.version, slug.commit)
    return create_release(session, target, description=description, account_id=account.id, slug=slug)


def _apps(account: Account) -> Select[uuid.UUID]:
    return apps.visible_to(account).with_only_columns(App.id)


def _of_teams(account: Account, roles: Sequence[Role]) -> ColumnElement[bool]:
    teams = select(TeamMember.team_id).where(TeamMember.account_id == account.id, TeamMember.role.in_(roles))
    return and_(Pipeline.owner_type == pipelines.TEAM, Pipeline.owner_id.in_(teams))


def _owned_by(account: Account) -> ColumnElement[bool]:
    return and_(Pipeline.owner_type == pipelines.USER, Pipeline.owner_id == account.id)
