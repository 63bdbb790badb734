"""One platform and one Hub for every test of LTI."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hub_config.lti import Lti
from hub_config.ports import free_ports
from tests.hub.lti.person import Person
from tests.hub.lti.platform import CLIENT, DEPLOYMENT, Platform
from tests.hub.lti.small_hub import SmallHub

__all__ = ["lti_hub", "lti_person", "lti_platform", "started_platform"]


@pytest.fixture(scope="session")
def started_platform() -> Iterator[Platform]:
    """A platform."""
    made = Platform()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def lti_hub(started_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHub]:
    """A Hub that takes its people by mail address. Its addresses are http, which a file of settings cannot say."""
    url = started_platform.url
    lti = Lti(url, [CLIENT], f"{url}/authorize", f"{url}/jwks", "email", "example.edu", [DEPLOYMENT])
    made = SmallHub(tmp_path_factory.mktemp("lti"), lti, free_ports(1)[0])
    try:
        started_platform.tool = made.url
        yield made.wait()
    finally:
        made.stop()


@pytest.fixture
def lti_platform(started_platform: Platform) -> Platform:
    """The platform, with ada logged in there."""
    started_platform.person = {"email": "ada@example.edu"}
    return started_platform


@pytest.fixture
def lti_person(lti_hub: SmallHub, lti_platform: Platform) -> Callable[[], Person]:
    """Makes people with a fresh browser."""
    return lambda: Person(lti_hub.url, lti_platform)
