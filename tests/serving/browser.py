"""Chromium without a window, told what to do over the pipe of its DevTools protocol."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 120.0  # seconds until something that is waited for is missed
LOOKED = 0.05  # seconds between two looks for it


class Browser:
    """One page. said: what went wrong in it: exceptions, and what it wrote as errors, those of CSP among them."""

    def __init__(self, process: subprocess.Popen, out: int, back: int):
        self._process, self._out, self._back = process, out, back
        self._data, self._number, self._session = b"", 0, ""
        self.said: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters) -> dict[str, Any]:
        """A command's result."""
        self._number += 1
        content = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            content["sessionId"] = self._session
        os.write(self._out, json.dumps(content).encode() + b"\0")
        while (message := self._receive()).get("id") != self._number:
            self._note(message)
        assert "error" not in message, f"{method}: {message['error']}"
        return message["result"]

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._data:
            ready, _, _ = select.select([self._back], [], [], max(0, until - time.monotonic()))
            assert ready, "Chromium says nothing"
            chunk = os.read(self._back, 1 << 20)
            assert chunk, "Chromium has ended"
            self._data += chunk
        text, _, self._data = self._data.partition(b"\0")
        return json.loads(text)

    def _note(self, message: dict[str, Any]) -> None:
        method, given = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description") or details["text"])
        if method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.said.append(str([a.get("value") for a in given["args"]]))
        if method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.said.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")

    # ------------------------------------------------------------ a page

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window's, as of a phone where it is narrow."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **shape)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)

    def open(self, url: str) -> None:
        self.said.clear()
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, which may be a promise."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        until = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < until, f"{script} is not so. {self.said}. {self.text()[:2000]}"
            time.sleep(LOOKED)
        return value

    def text(self, selector: str = "body") -> str:
        """What people see of an element; "" where there is none."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def texts(self, selector: str) -> list[str]:
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.innerText)")

    def choose(self, selector: str, value: str) -> None:
        """An option of a list, a slider's value."""
        self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def give(self, selector: str, file: Path) -> None:
        """A file to a field of files."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, "")
        same = {"key": key, "windowsVirtualKeyCode": codes[key]}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **same)
        self.send("Input.dispatchKeyEvent", type="keyUp", **same)

    def picture(self, path: Path) -> Path:
        """The whole page as a PNG."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a camera of its own making."""
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", f"--user-data-dir={profile}",
        "--no-first-run", "--disable-extensions", "--disable-background-networking", "about:blank",
    ]  # fmt: skip

    def as_three_and_four() -> None:  # where the protocol has its pipe
        ends = [os.dup(to_browser), os.dup(from_browser)]
        for number, end in zip((3, 4), ends, strict=True):
            os.dup2(end, number)

    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, close_fds=False, preexec_fn=as_three_and_four
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(process, from_us, to_us)
    finally:
        process.kill()
        process.wait(60)
        os.close(from_us)
        os.close(to_us)
