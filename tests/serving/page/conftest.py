"""A real Chromium before the real application; the engine is faked at the wire. No page may complain in its console."""

import dataclasses
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response, expect, sync_playwright

from serving.settings import GatewaySettings

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
expect.set_options(timeout=10_000)


@pytest.fixture
def settings(settings: GatewaySettings) -> GatewaySettings:
    """As `kefu serve --demo`: the demo customer is signed in."""
    return dataclasses.replace(settings, demo=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = [path for path in map(shutil.which, CHROMIUM) if path]
    assert found, "the mark `services` needs Chromium: apt-get install chromium"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found[0], args=sandbox)
        yield chromium
        chromium.close()


@dataclass
class ChatPage:
    """The page as its users see it: by roles and names."""

    page: Page
    url: str
    complaints: list[str]  # of its console; none may be left at the end of a test

    @property
    def question(self) -> Locator:
        return self.page.get_by_role("textbox", name="您的问题").or_(
            self.page.get_by_role("textbox", name="Your question")
        )

    @property
    def answers(self) -> Locator:
        return self.page.locator(".answer")

    @property
    def last(self) -> Locator:
        """The latest answer."""
        return self.answers.last

    @property
    def stop(self) -> Locator:
        return self.page.get_by_role("button", name="停止回答")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def ask(self, text: str) -> Locator:
        """Asks by keyboard and waits for the end of the answer, which it gives."""
        before = self.answers.count()
        self.question.fill(text)
        self.question.press("Enter")
        expect(self.answers).to_have_count(before + 1)
        expect(self.last).not_to_have_attribute("data-state", "waiting")
        expect(self.last).not_to_have_attribute("data-state", "growing")
        return self.last


OpenPage = Callable[..., ChatPage]


@pytest.fixture
def open_page(browser: Browser, served: str) -> Iterator[OpenPage]:
    """Opens the page in a browser profile of its own: `open_page(path, **options of the profile)`."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def complain(text: str) -> None:
        if not text.startswith("Failed to load resource"):  # said of each status over 399; the page tells it, too
            complaints.append(text)

    def missing(response: Response) -> None:
        if "/page/" in response.url and response.status >= 400:
            complaints.append(f"{response.status} {response.url}")

    def opened(path: str = "/", *, url: str = served, **options: Any) -> ChatPage:
        context = browser.new_context(**{"locale": "zh-CN", "reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complain(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("response", missing)
        page.goto(url + path)
        return ChatPage(page, url, complaints)

    yield opened
    for context in contexts:
        context.close()
    assert not complaints, complaints


@contextmanager
def behind_a_socket(app: Any) -> Iterator[str]:
    """Serves an ASGI application; gives its base URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
