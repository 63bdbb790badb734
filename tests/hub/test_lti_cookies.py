"""What does a real browser do with the cookies of a launch? Platform and Hub are different sites here."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.hub.lti.person import NONCE, STATE, Person
from tests.hub.lti.platform import Platform
from tests.hub.lti.small_hub import SmallHub

LOGIN = "__Host-jupyterhub-hub-login"


@pytest.fixture
def context(browser: Browser, lti_hub: SmallHub) -> Iterator[BrowserContext]:
    """A browser without a history."""
    made = browser.new_context()
    yield made
    made.close()


def names(context: BrowserContext) -> set[str]:
    """Names of the cookies that the browser holds."""
    return {cookie["name"] for cookie in context.cookies()}


def test_click_opens_the_course_in_a_new_window(
    context: BrowserContext, lti_platform: Platform, lti_hub: SmallHub
) -> None:
    """The staff's first page is a service that this Hub lacks; what counts is who the Hub says it is."""
    lti_platform.person = {"email": "tomas@example.edu"}
    page = context.new_page()
    page.goto(f"{lti_platform.url}/course")
    with context.expect_page() as opened:
        page.click("#open")
    opened.value.wait_for_url(f"{lti_hub.url}/**/services/course/")
    opened.value.goto(f"{lti_hub.url}/hub/api/user")
    assert '"name": "tomas"' in opened.value.inner_text("body")
    kept = {cookie["name"]: cookie["sameSite"] for cookie in context.cookies()}
    assert kept[LOGIN] == "Lax"
    assert STATE not in kept and NONCE not in kept, "they are removed once they were used"


@pytest.mark.parametrize(("same_site", "works"), [("None", True), ("Lax", False), ("Strict", False)])
def test_state_and_nonce_must_cross_sites(
    context: BrowserContext, lti_platform: Platform, lti_hub: SmallHub, same_site: str, works: bool
) -> None:
    """With the cookies that JupyterHub's cookie_options would make, no launch arrives."""
    elsewhere = Person(lti_hub.url, lti_platform)
    asked = elsewhere.asked()
    context.add_cookies(
        [
            {
                "name": name,
                "value": elsewhere.cookies[name] or "",
                "domain": "localhost",
                "path": "/",
                "secure": True,
                "httpOnly": True,
                "sameSite": same_site,  # type: ignore[typeddict-item]
            }
            for name in (STATE, NONCE)
        ]
    )
    page = context.new_page()
    page.goto(f"{lti_platform.url}/authorize?{urlencode(asked)}")
    page.wait_for_url(f"{lti_hub.url}/**")
    page.wait_for_load_state()
    assert (LOGIN in names(context)) == works
    assert ("state missing from cookies" in page.inner_text("body")) != works


def test_frame_inside_the_platform_shows_nothing(
    context: BrowserContext, lti_platform: Platform, lti_hub: SmallHub
) -> None:
    """Why the platform must open a new window: the Hub lets nobody frame it, and keeps no login in a frame."""
    page = context.new_page()
    with page.expect_event("requestfailed", lambda one: one.url.endswith("/oauth_callback")) as launch:
        page.goto(f"{lti_platform.url}/framed")
    assert launch.value.failure == "net::ERR_BLOCKED_BY_RESPONSE", "the Hub's frame-ancestors 'none'"
    assert LOGIN not in names(context)
