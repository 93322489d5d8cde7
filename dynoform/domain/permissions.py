"""What a person may do with an app.

Heroku's four permissions of a team app (https://devcenter.heroku.com/articles/app-permissions): ``view`` reads,
``deploy`` releases code and changes config vars, ``operate`` scales, runs and changes domains, ``manage`` does all, up
to deleting it.
"""

from enum import StrEnum


class Permission(StrEnum):
    """What a call needs, from least to most."""

    VIEW = "view"
    DEPLOY = "deploy"
    OPERATE = "operate"
    MANAGE = "manage"
