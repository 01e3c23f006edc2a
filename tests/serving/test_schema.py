"""The whole OpenAPI page, walked by Schemathesis with requests that fit it and requests that do not: no 5xx, and nothing leaves
that the page does not say."""

import warnings
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi import checks

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


def walk(app: FastAPI, examples: int) -> dict[str, set[int]]:
    """Sends generated requests to every operation; gives the statuses of each."""
    page = schemathesis.openapi.from_asgi("/openapi.json", app)
    seen: dict[str, set[int]] = {}
    for result in page.get_all_operations():
        operation = result.ok()
        cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))
        seen[operation.label] = set()
        _sending(cases, examples if operation.body else 3, seen[operation.label])()
    return seen


def _sending(cases: st.SearchStrategy[Any], examples: int, statuses: set[int]) -> Any:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = "kefu"  # another is a 404, and no way into the rest
        response = case.call()
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    return send


def test_the_page_holds(app: FastAPI) -> None:
    seen = walk(app, 10)
    assert {"POST /v1/chat/completions", "GET /v1/models", "GET /healthz", "GET /readyz", "GET /metrics"} <= seen.keys()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_holds_for_long(app: FastAPI) -> None:
    assert {200, 400, 404} <= walk(app, 1500)["POST /v1/chat/completions"]
