"""Providers that speak Heroku's Add-on Partner API v3 (https://devcenter.heroku.com/articles/add-on-partner-api)."""

import json
import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx

from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.errors import UnavailableError

SECONDS = 25.0
"""Heroku's limit for an answer."""
_CONNECT_SECONDS = 5.0
_MAXIMUM_ANSWER = 64 * 1024
_MAXIMUM_MESSAGE = 500
_ACCEPT = "application/vnd.heroku-addons+json; version=3"
_GONE = (404, 410)
_LATER = (408, 425, 429)


class PartnerProvider:
    """Requests to ``base_url`` with the manifest's id and password; redirects are not followed."""

    def __init__(self, seconds: float = SECONDS, context: ssl.SSLContext | None = None) -> None:
        """``context`` says which certificates count; the system's authorities by default."""
        self._seconds = seconds
        self._client = httpx.Client(
            verify=context or ssl.create_default_context(),
            timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            trust_env=False,
            headers={"Accept": _ACCEPT, "User-Agent": "dynoform"},
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def provision(self, wanted: Resource) -> Answer:
        """``POST {base_url}``: 200 and 201 are done, 202 will be."""
        body: dict[str, Any] = {
            "callback_url": wanted.callback_url,
            "name": wanted.name,
            "options": dict(wanted.options),
            "plan": wanted.plan,
            "region": wanted.region,
            "uuid": str(wanted.uuid),
        }
        if wanted.grant is not None:
            grant = {"code": wanted.grant.code, "expires_at": wanted.grant.expires_at, "type": "authorization_code"}
            body["oauth_grant"] = grant
        if wanted.log_drain_token is not None:
            body["log_drain_token"] = wanted.log_drain_token
        status, found = self._ask("POST", wanted, "", body)
        return _answer(wanted, status, found)

    def change_plan(self, wanted: Resource) -> Answer:
        """``PUT {base_url}/{uuid}``."""
        status, found = self._ask("PUT", wanted, f"/{wanted.uuid}", {"plan": wanted.plan})
        return _answer(wanted, status, found)

    def deprovision(self, wanted: Resource) -> Answer:
        """``DELETE {base_url}/{uuid}``; not found or gone is as good as done."""
        status, _ = self._ask("DELETE", wanted, f"/{wanted.uuid}", None)
        return Answer(finished=status != 202)

    def _ask(self, method: str, wanted: Resource, path: str, body: Any) -> tuple[int, Mapping[str, Any]]:
        """Status (2xx, or gone for DELETE) and body of the provider's answer; raises as ``Provider`` says."""
        try:
            status, content = self._send(method, wanted, path, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(wanted.service, f"does not answer ({type(error).__name__})", "try again") from None
        if status < 300 or (method == "DELETE" and status in _GONE):
            return status, _object(wanted, content)
        if status >= 500 or status in _LATER:
            raise UnavailableError(wanted.service, f"answered {status}", "try again")
        raise RefusedError(_message(content) or f"{wanted.service} refused the request with status {status}")

    def _send(self, method: str, wanted: Resource, path: str, body: Any) -> tuple[int, bytes]:
        deadline = time.monotonic() + self._seconds
        url = wanted.base_url.rstrip("/") + path
        request = self._client.build_request(method, url, json=body)
        credentials = httpx.BasicAuth(wanted.service, wanted.password)
        answer = self._client.send(request, auth=credentials, stream=True)
        try:
            content = b""
            for chunk in answer.iter_bytes(16 * 1024):
                content += chunk
                if len(content) > _MAXIMUM_ANSWER or time.monotonic() > deadline:
                    raise UnavailableError(wanted.service, "answers too much or too slowly", "try again")
            return answer.status_code, content
        finally:
            answer.close()


def _object(wanted: Resource, content: bytes) -> Mapping[str, Any]:
    if not content.strip():
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnavailableError(wanted.service, "answered something that is not a JSON object", "try again")
    return found


def _answer(wanted: Resource, status: int, found: Mapping[str, Any]) -> Answer:
    config = found.get("config")
    if config is not None and not (
        isinstance(config, dict) and all(isinstance(value, str) for value in config.values())
    ):
        raise UnavailableError(wanted.service, "answered config vars that are not texts", "try again")
    return Answer(
        finished=status != 202,
        config=config,
        message=_text(found.get("message"), _MAXIMUM_MESSAGE),
        provider_id=_text(found.get("id"), 200),
        log_drain_url=_text(found.get("log_drain_url"), 2000),
    )


def _message(content: bytes) -> str | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return _text(found.get("message"), _MAXIMUM_MESSAGE) if isinstance(found, dict) else None


def _text(value: Any, maximum: int) -> str | None:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return None
    return "".join(letter for letter in str(value) if letter.isprintable())[:maximum] or None
