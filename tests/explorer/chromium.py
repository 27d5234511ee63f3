"""A headless Chromium, driven over its DevTools protocol through two pipes.

Needs Debian's package chromium, or another build of it, and nothing else.
"""

import base64
import contextlib
import fcntl
import io
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import time
from typing import Any

import numpy as np
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S = 60


def missing() -> str:
  """Why there can be no browser here; '' where there can."""
  if any(shutil.which(name) for name in _NAMES):
    return ""
  return f"no {' or '.join(_NAMES)}: install Debian's chromium"


class Page:
  """The one page of a browser, with all that it has complained of."""

  def __init__(self, read: int, write: int):
    self._read, self._write = read, write
    self._numbers = itertools.count(1)
    self._left, self._session = b"", None
    self.problems: list[Any] = []  # of the console, and exceptions
    self.requests: list[str] = []
    (target,) = (
      t
      for t in self.call("Target.getTargets")["targetInfos"]
      if t["type"] == "page"
    )
    attached = self.call(
      "Target.attachToTarget", targetId=target["targetId"], flatten=True
    )
    self._session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Network", "Log"):
      self.call(f"{domain}.enable")

  def call(self, method: str, **params: Any) -> dict[str, Any]:
    """The result of a command of the protocol."""
    message = {"id": next(self._numbers), "method": method, "params": params}
    if self._session:
      message["sessionId"] = self._session
    os.write(self._write, json.dumps(message).encode() + b"\0")
    while (answer := self._receive()).get("id") != message["id"]:
      self._note(answer)
    assert "error" not in answer, answer
    result: dict[str, Any] = answer["result"]
    return result

  def evaluate(self, script: str) -> Any:
    """The value of an expression in the page, awaited where it is a promise."""
    found = self.call(
      "Runtime.evaluate",
      expression=script,
      awaitPromise=True,
      returnByValue=True,
    )
    assert "exceptionDetails" not in found, found["exceptionDetails"]
    return found["result"].get("value")

  def wait(self, condition: str) -> None:
    """Until an expression is true."""
    until = time.monotonic() + _PATIENCE_S
    while not self.evaluate(f"!!({condition})"):
      assert time.monotonic() < until, f"{condition} is never true"
      time.sleep(0.05)

  def open(self, path: pathlib.Path) -> None:
    """Opens a file."""
    self.call("Page.navigate", url=path.resolve().as_uri())
    here = json.dumps(path.resolve().as_uri())
    self.wait(f"document.readyState === 'complete' && location.href === {here}")

  def canvas(self, which: str) -> np.ndarray:
    """The pixels of a canvas, uint8 `[H, W, 3]`."""
    url = self.evaluate(f"document.querySelector({which!r}).toDataURL()")
    png = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(png).convert("RGB"))

  def drag(self, points: list[tuple[float, float]]) -> None:
    """Moves the mouse along points of the window with its button down."""
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1)]
    for kind, (x, y) in zip(kinds, points, strict=True):
      self._mouse(kind, x, y)
    self._mouse("mouseReleased", *points[-1])

  def choose(self, field: str, file: pathlib.Path) -> None:
    """Chooses a file in a field for one."""
    root = self.call("DOM.getDocument")["root"]["nodeId"]
    node = self.call("DOM.querySelector", nodeId=root, selector=field)
    self.call("DOM.setFileInputFiles", files=[str(file)], **node)

  def _mouse(self, kind: str, x: float, y: float) -> None:
    self.call(
      "Input.dispatchMouseEvent",
      type=kind,
      x=x,
      y=y,
      button="left",
      buttons=0 if kind == "mouseReleased" else 1,
      clickCount=1,
    )

  def _receive(self) -> dict[str, Any]:
    until = time.monotonic() + _PATIENCE_S
    while b"\0" not in self._left:
      ready, _, _ = select.select([self._read], [], [], 1)
      assert time.monotonic() < until, "Chromium does not answer"
      if ready:
        some = os.read(self._read, 2**20)
        assert some, "Chromium has ended"
        self._left += some
    message, _, self._left = self._left.partition(b"\0")
    found: dict[str, Any] = json.loads(message)
    return found

  def _note(self, event: dict[str, Any]) -> None:
    method, params = event.get("method"), event.get("params", {})
    if method == "Network.requestWillBeSent":
      self.requests.append(params["request"]["url"])
    elif method == "Runtime.exceptionThrown" or (
      method == "Runtime.consoleAPICalled" and params["type"] != "log"
    ):
      self.problems.append(params)
    elif method == "Log.entryAdded" and params["entry"]["level"] != "verbose":
      self.problems.append(params["entry"])


@contextlib.contextmanager
def running(profile: pathlib.Path):
  """Starts a browser; yields its `Page`."""
  command = next(filter(None, map(shutil.which, _NAMES)))
  from_page, from_browser = _pipe()
  to_browser, to_page = _pipe()
  flags = [
    "--headless=new",
    "--remote-debugging-pipe",  # the browser reads 3 and writes 4
    "--no-sandbox",  # which root has none of
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    "--force-device-scale-factor=1",
    "--window-size=1280,900",
    f"--user-data-dir={profile}",
    "about:blank",
  ]
  # Not by fork, which JAX warns of.
  browser = os.posix_spawn(
    command,
    [command, *flags],
    os.environ,
    file_actions=[
      (os.POSIX_SPAWN_DUP2, to_browser, 3),
      (os.POSIX_SPAWN_DUP2, from_browser, 4),
      (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
      (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ],
  )
  os.close(to_browser)
  os.close(from_browser)
  try:
    yield Page(from_page, to_page)
  finally:
    os.close(to_page)
    os.close(from_page)
    os.kill(browser, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE_S
    while os.waitpid(browser, os.WNOHANG) == (0, 0):
      if time.monotonic() > until:
        os.kill(browser, signal.SIGKILL)
      time.sleep(0.05)


def _pipe() -> list[int]:
  """The two ends of a pipe, with numbers that are not those in the browser."""
  ends = os.pipe()
  moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
  for end in ends:
    os.close(end)
  return moved
