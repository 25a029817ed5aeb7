"""Headless Chromium, as far as tests of a page need it, by its debugging pipe."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

__all__ = ["EXECUTABLE", "Page", "opened"]

EXECUTABLE = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run "
    "--disable-component-update --disable-sync --remote-debugging-pipe"
)
_SECONDS = 60.0


class Page:
    """A page, and what happened while it loaded.

    Attributes:
        requests: the addresses that it asked for.
        errors: what went to the console as an error or a warning, and exceptions.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = os.fdopen(read, "rb"), os.fdopen(write, "wb")
        self._buffer = b""
        self._id = 0
        self._session: str | None = None
        self._events: list[str] = []
        self.requests: list[str] = []
        self.errors: list[str] = []

    def open(
        self, path: pathlib.Path, width: int, *, dark: bool = False, height: int = 900
    ) -> None:
        """Opens a file in a window of a width, without a network."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        self.look(width, dark=dark)
        self.visit(path.resolve().as_uri())

    def look(self, width: int, *, dark: bool = False) -> None:
        """Gives the window a width and a colour scheme."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def visit(self, address: str) -> None:
        """Goes to another page, whose requests and errors are then known instead."""
        self._events.clear()
        self.requests.clear()
        self.errors.clear()
        self.call("Page.navigate", url=address)
        until = time.monotonic() + _SECONDS
        while "Page.loadEventFired" not in self._events:
            assert time.monotonic() < until
            self._next()

    def evaluate(self, script: str) -> object:
        """Returns the value of an expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: pathlib.Path) -> None:
        """Writes a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {**size, "scale": 1}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **params: object) -> dict:
        """Returns the answer to a command of the DevTools protocol."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                return answer["result"]

    def close(self) -> None:
        self._session = None
        with contextlib.suppress(BrokenPipeError, EOFError):
            self.call("Browser.close")
        self._read.close()
        with contextlib.suppress(BrokenPipeError):
            self._write.close()

    def _next(self) -> dict:
        while b"\0" not in self._buffer:
            data = os.read(self._read.fileno(), 1 << 20)
            if not data:
                raise EOFError("Chromium has ended.")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        method, params = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        ):
            self.errors.append(json.dumps(params))
        return message


@contextlib.contextmanager
def opened(path: pathlib.Path, width: int, *, dark: bool = False) -> Iterator[Page]:
    """Opens a file in a browser of its own."""
    assert EXECUTABLE is not None
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        line = f'exec "$0" {_FLAGS} --user-data-dir="$1" 3<&{commands} 4>&{answers}'
        browser = subprocess.Popen(
            ["bash", "-c", line, EXECUTABLE, profile],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        page = Page(from_browser, to_browser)
        try:
            page.open(path, width, dark=dark)
            yield page
        finally:
            page.close()
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
