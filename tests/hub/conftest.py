"""Fixtures of the Hub's tests: one Hub for all of them, Debian's Chromium, and people who log in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from autograder.course import ROOT
from hub_config.running import RunningHub, state_folder
from tests.hub.lti.fixtures import lti_hub, lti_person, lti_platform, started_platform

__all__ = ["lti_hub", "lti_person", "lti_platform", "started_platform"]
CHROMIUM = shutil.which("chromium") or ""
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SCREENS = ROOT / "build" / "screens"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="real accounts of this machine are made by root only"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder: it runs alone, while the other tests run two at a time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("hub")


@pytest.fixture(scope="session")
def hub() -> Iterator[RunningHub]:
    """A Hub with real accounts and Lab 3.1 published."""
    with state_folder() as state, RunningHub(state) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    if not CHROMIUM:
        pytest.skip("Debian's chromium is not installed: apt-get install -y chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield started
        started.close()


@pytest.fixture(scope="session")
def people(hub: RunningHub, browser: Browser) -> Iterator[Callable[[str], BrowserContext]]:
    """The browser of a person, logged in once: `people("student1")`."""
    contexts: dict[str, BrowserContext] = {}

    def person(name: str) -> BrowserContext:
        if name not in contexts:
            contexts[name] = browser.new_context(viewport={"width": 1400, "height": 900})
            page = contexts[name].new_page()
            page.goto(f"{hub.url}/hub/login")
            page.fill("#username_input", hub.prefix + name)
            page.fill("#password_input", hub.passwords[hub.prefix + name])
            page.click("#login_submit")
            page.wait_for_url(lambda url: "/lab" in url or "/formgrader" in url, timeout=90_000)
            page.close()
        return contexts[name]

    yield person
    for context in contexts.values():
        context.close()


@pytest.fixture
def look() -> Callable[[Page, str], None]:
    """Keep a picture of a page below build/screens, for people to look at."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=SCREENS / f"{name}.png") and None


@pytest.fixture(scope="session")
def lab_folder(hub: RunningHub) -> Path:
    """Where student1's copy of the lab is once it was fetched."""
    return hub.home("student1") / "Lab-3.1-Post_Training_Quantization"
