"""The service against its own description: schemathesis sends what the description allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from handin.service.openapi import description
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.handin.running import PREFIX, RunningService, StandInHub


@schemathesis.serializer("application/zip", "text/html")
def as_it_is(context: object, value: object) -> bytes:
    """A body that is no JSON: whatever bytes were made up."""
    content = getattr(value, "data", value)
    return content if isinstance(content, bytes) else str(content).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(description(PREFIX))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with one lab and one hand-in, that lets nobody wait."""
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    hub = StandInHub()
    service = RunningService(folder, hub, HANDIN_RATE="1000000")
    service.publish("Lab-0.1-Mini", "01-Scale")
    service.client("ada").hand_in("Lab-0.1-Mini", {"01-Scale.ipynb": b"{}"})
    yield service
    service.stop()
    hub.stop()


@pytest.mark.parametrize("who", ["ada", "collector"])
@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)
def test_no_request_is_a_server_error_and_every_answer_is_described(
    case: schemathesis.Case, running: RunningService, who: str
) -> None:
    response = case.call(base_url=running.url, headers={"Authorization": f"token token-{who}"})
    case.validate_response(response, checks=[not_a_server_error, response_schema_conformance])


def test_the_description_is_served(running: RunningService) -> None:
    headers = {"Authorization": "token token-ada"}
    answer = requests.get(f"{running.url}/api/openapi.json", headers=headers)
    assert answer.json() == description(PREFIX)
