"""Telling a running endpoint to take over the champion's FAQ. The key is `KEFU_API_KEY`, where the endpoint wants one."""

import os
from typing import Any

import httpx

from data.errors import CheckFailed, EnvironmentLacks

TIMEOUT_S = 60.0


def reload_faq(url: str, transport: httpx.BaseTransport | None = None) -> dict[str, Any]:
    """What the endpoint serves after it.

    Raises:
        CheckFailed: it refuses, and why.
        EnvironmentLacks: it does not answer.
    """
    key = os.environ.get("KEFU_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(timeout=TIMEOUT_S, transport=transport, trust_env=False) as http:
            response = http.post(f"{url}/v1/faq/reload", headers=headers)
            body: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise EnvironmentLacks(f"no endpoint answers at {url}: {error}; start one: kefu serve") from error
    if response.status_code != httpx.codes.OK:
        raise CheckFailed(f"{url}: {body.get('error', {}).get('message', response.status_code)}")
    return body
