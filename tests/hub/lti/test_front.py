"""Does a launch arrive behind TLS, with a name for each server, as the server deployment has it?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hub_config.lti import Lti
from hub_config.ports import free_ports
from tests.hub.lti.platform import CLIENT, Platform
from tests.hub.lti.small_hub import SmallHub
from tests.hub.server import front
from tests.hub.server.deployment import Deployment
from tests.hub.server.visitor import HUB, Visitor

CALLBACK = f"{HUB}/hub/lti13/oauth_callback"


@pytest.fixture
def visitor(lti_platform: Platform, tmp_path: Path) -> Iterator[Visitor]:
    """Somebody before the deployment's nginx, with the Hub behind it."""
    front.needs_nginx()
    settings = Deployment(tmp_path).settings
    hub, http, https = free_ports(3)
    settings = dataclasses.replace(settings, ports=dataclasses.replace(settings.ports, proxy=hub))
    url = lti_platform.url
    lti = Lti(url, [CLIENT], f"{url}/authorize", f"{url}/jwks", "email", "example.edu")
    front.certificate(tmp_path)
    running = SmallHub(tmp_path, lti, hub, HUB)
    try:
        running.wait()
        with front.running(settings, tmp_path / "nginx", http, https), Visitor(tmp_path, https) as made:
            yield made
    finally:
        running.stop()


def asked(visitor: Visitor, platform: Platform, start: str) -> dict[str, str]:
    """What the Hub asks the platform after a click that begins at this address."""
    request = platform.start_request()
    answer = visitor.post(f"{start}/hub/lti13/oauth_login", request, allow_redirects=False)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def test_launch_arrives_through_nginx(visitor: Visitor, lti_platform: Platform) -> None:
    """The token goes to the Hub's own name, also where the click began at a student's."""
    assert asked(visitor, lti_platform, "https://bob.course.test")["redirect_uri"] == CALLBACK
    found = asked(visitor, lti_platform, HUB)
    assert found["redirect_uri"] == CALLBACK
    token = lti_platform.sign(lti_platform.claims(found["nonce"]))
    form = {"id_token": token, "state": found["state"]}
    assert visitor.post(CALLBACK, form, allow_redirects=False).status_code == 302
    assert visitor.get(f"{HUB}/hub/api/user").json()["name"] == "ada"
    own = {cookie.name: cookie.domain for cookie in visitor.cookies}
    assert own["__Host-jupyterhub-hub-login"] == "course.test", "of the Hub's own name, not of those below it"
