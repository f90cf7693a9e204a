# SPDX-License-Identifier: MIT
"""A headless Chromium, driven through chromedriver's HTTP interface (W3C WebDriver) with
the standard library alone."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

TIMEOUT = 30
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage")


def find_browser():
    """@return (chromedriver, chromium) or None where one is missing."""
    driver = shutil.which("chromedriver")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    return (driver, browser) if driver and browser else None


class Browser:
    def __init__(self, driver, browser, flags=(), environment=None):
        self.flags = flags
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([driver, f"--port={self.port}"],
                                        env={**os.environ, **(environment or {})},
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session = ""
        self.home = None
        self.binary = browser

    def __enter__(self):
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                if self.call("GET", "/status")["ready"]:
                    break
            except (OSError, ValueError):
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.05)
        options = {"binary": self.binary,
                   "args": [*FLAGS, *self.flags, f"--user-data-dir={self.folder.name}"]}
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options}}})
        self.session = "/session/" + answer["sessionId"]
        self.home = Tab(self, self.call("GET", self.session + "/window"))
        return self

    def __exit__(self, *_):
        try:
            if self.session:
                self.call("DELETE", self.session)
        finally:
            self.process.terminate()
            self.process.wait(TIMEOUT)
            self.folder.cleanup()

    def call(self, method, path, body=None):
        data = json.dumps(body).encode("utf-8") if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data,
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def new_tab(self):
        self.home.call("GET", "/title")  # makes a window that still exists the current one
        answer = self.call("POST", self.session + "/window/new", {"type": "tab"})
        return Tab(self, answer["handle"])


class Tab:
    def __init__(self, browser, handle):
        self.browser = browser
        self.handle = handle

    def call(self, method, path, body=None):
        session = self.browser.session
        self.browser.call("POST", session + "/window", {"handle": self.handle})
        return self.browser.call(method, session + path, body)

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def close(self):
        self.call("DELETE", "/window")

    def resize(self, width, height):
        """The size of the page, whatever the window adds."""
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride",
                  "params": {"width": width, "height": height, "deviceScaleFactor": 1,
                             "mobile": width < 600}})

    def dark(self):
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": "dark"}]}})

    def life(self, state):
        """`frozen` or `active`: the browser stops the page's tasks, or lets them go on."""
        self.call("POST", "/goog/cdp/execute", {"cmd": "Page.setWebLifecycleState",
                  "params": {"state": state}})

    def screenshot(self):
        """@return a PNG in Base64."""
        return self.call("GET", "/screenshot")

    def run(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def type(self, css, text):
        found = self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]
        self.call("POST", f"/element/{found}/value", {"text": text})

    def click(self, css):
        found = self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]
        self.call("POST", f"/element/{found}/click", {})

    def text(self, css):
        return self.run("return document.querySelector(arguments[0]).innerText", css)

    def wait(self, condition, *args):
        """Until the JavaScript expression is true."""
        script = ("const done = arguments[arguments.length - 1], args = arguments;"
                  "const until = Date.now() + 15000;"
                  f"(function ask() {{ const value = ({condition});"
                  " if (value || Date.now() > until) done(value); else setTimeout(ask, 20); })()")
        value = self.call("POST", "/execute/async", {"script": script, "args": list(args)})
        if not value:
            raise AssertionError(f"never true: {condition} {args}\n"
                                 + self.run("return document.body.innerText"))
        return value
