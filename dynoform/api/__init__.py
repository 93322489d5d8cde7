"""Heroku's Platform API v3, one file per resource (https://devcenter.heroku.com/articles/platform-api-reference)."""
