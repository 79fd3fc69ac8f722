"""Chromium in a test's words. One process of node drives it for all tests of a worker; each test has a context of its
own, so that none sees what another kept.
"""

import json
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.tools.shop import tool

DRIVER = Path(__file__).with_name("driver.mjs")
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE_S = 120  # of one call, which never happens: playwright gives up first


class BrowserError(Exception):
    """What playwright says that did not happen."""


class Browser:
    """The driver's process, and Chromium below it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.numbers = count()

    @classmethod
    @contextmanager
    def running(cls, modules: Path) -> Iterator["Browser"]:
        """The driver ends with its input, and takes Chromium along."""
        command = [tool("node"), str(DRIVER), str(modules), tool("chromium")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            try:
                yield cls(process)
                process.stdin.close()
                process.wait(PATIENCE_S)
            finally:
                process.kill()  # which has ended, unless something went wrong

    def ask(self, *command: Any) -> Any:
        """Raises BrowserError for what could not be done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise BrowserError(f"the driver does not answer to {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(f"{command}: {answer['error']}")
        return answer["value"]

    @contextmanager
    def tab(self, url: str, **options: Any) -> Iterator["Tab"]:
        number = next(self.numbers)
        self.ask("open", number, {"viewport": LAPTOP} | options)
        try:
            yield Tab(self, number, url)
        finally:
            self.ask("close", number)


Call = Sequence[Any]


@dataclass(frozen=True)
class Element:
    """What a locator finds; each call waits until it can be done."""

    browser: Browser
    page: int
    way: tuple[Call, ...] = field(default=())

    def at(self, *call: Any) -> "Element":
        return Element(self.browser, self.page, (*self.way, call))

    def do(self, *call: Any) -> Any:
        return self.browser.ask("call", self.page, [*self.way, call])

    def css(self, selector: str, text: str | None = None) -> "Element":
        return self.at("locator", selector, {} if text is None else {"hasText": text})

    def role(self, role: str, name: str, *, exact: bool = False) -> "Element":
        return self.at("getByRole", role, {"name": name, "exact": exact})

    def label(self, text: str, *, exact: bool = False) -> "Element":
        return self.at("getByLabel", text, {"exact": exact})

    def text(self, text: str) -> "Element":
        return self.at("getByText", text)

    @property
    def first(self) -> "Element":
        return self.at("first")

    def wait(self, state: str = "visible") -> "Element":
        self.do("waitFor", {"state": state})
        return self

    def click(self) -> None:
        self.do("click")

    def fill(self, text: str) -> None:
        self.do("fill", text)

    def press(self, key: str) -> None:
        self.do("press", key)

    def told(self) -> str:
        text: str = self.do("innerText")
        return text

    def texts(self) -> list[str]:
        """Of all that there are, once there is one."""
        self.first.wait()
        found: list[str] = self.do("allInnerTexts")
        return found

    def count(self) -> int:
        number: int = self.do("count")
        return number


class Tab(Element):
    """A tab of the console at `url`, in a context of its own."""

    def __init__(self, browser: Browser, page: int, url: str) -> None:
        super().__init__(browser, page)
        self.url = url
        self.expected: list[str] = []  # parts of complaints that the test provokes

    def open(self, hash: str = "") -> None:
        """A page of the console, as an address that somebody follows; the frame around it stays."""
        self.do("goto", f"{self.url}/{hash}")
        if hash:
            # The browser itself says how it writes an address: it may encode what is in it.
            self.until(
                "document.querySelector('.signin') || document.querySelector('main')?.dataset.shown === location.hash"
            )

    def sign_in(self, token: str) -> None:
        self.open()
        self.label("Token").fill(token)
        self.role("button", "Sign in").click()
        self.role("heading", "Namespaces").wait()

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of an expression; of a function, with the arguments as its list."""
        return self.do("evaluate", f"({script})({json.dumps(arguments)})" if arguments else script)

    def until(self, script: str) -> None:
        """Wait until the expression is true in the page."""
        self.browser.ask("until", self.page, script)

    def key(self, key: str) -> None:
        """Pressed where the focus is."""
        self.browser.ask("key", self.page, key)

    def choose(self, *files: Path) -> None:
        """As somebody does behind a button that opens the file chooser."""
        self.css("input[type=file]").do("setInputFiles", [str(file) for file in files])

    def download(self, button: Element, target: Path) -> str:
        """What comes when the button is pressed is in `target`; returns the name that it was offered under."""
        name: str = self.browser.ask("download", self.page, button.way, str(target))
        return name

    def drop(self, name: str, content: str, content_type: str = "text/plain") -> None:
        """A small file, let fall onto the page."""
        self.run(DROP, name, content, content_type)

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.browser.ask("kept", self.page)["requests"]
        return found

    def foreign_requests(self) -> list[str]:
        """To anywhere but the daemon. What was made in the page is there already."""
        own = (f"{self.url}/", "blob:", "data:")
        return [request["url"] for request in self.requests() if not request["url"].startswith(own)]

    def unexpected_complaints(self) -> list[str]:
        complaints: list[str] = self.browser.ask("kept", self.page)["complaints"]
        return [text for text in complaints if not any(part in text for part in self.expected)]


DROP = """([name, content, type]) => {
  const data = new DataTransfer()
  data.items.add(new File([content], name, { type }))
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }))
  }
}"""
