"""What a program asks of the system that it runs on: memory and signals.

Needs the standard library alone, so that a program can come here before it
imports anything else.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

# The exit code of a program that the same command continues: it was told to
# stop, or it has lost another process of its run.
EXIT_CONTINUE = os.EX_TEMPFAIL

_nothing_to_lose = threading.Event()
_saying = threading.RLock()
_said: list[str] = []
_told: list[int] = []  # signals for which the program is to end


def keep_memory() -> None:
  """Has the C library keep the memory that is given back to it.

  XLA's CPU backend allocates the arrays within a step anew for each step. glibc
  hands blocks of that size to the kernel and fetches them again page by page,
  which costs a convolutional pair a fifth of its step. To be called before
  other threads start; does nothing where there is no glibc.
  """
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is None:
    return
  trim_threshold, mmap_max, arena_max = -1, -4, -8  # of malloc.h
  mallopt(arena_max, 1)  # other arenas map large blocks in any case
  mallopt(mmap_max, 0)
  mallopt(trim_threshold, 2**31 - 1)


def stop_signals() -> list[signal.Signals]:
  """SIGHUP, unless nohup has it ignored, SIGINT and SIGTERM."""
  numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]
  if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    numbers.remove(signal.SIGHUP)
  return numbers


def watch_signals() -> None:
  """Has the stop signals end the program with a sentence and EXIT_CONTINUE.

  The first one ends it at once before `program` is entered, and where there is
  `nothing_to_lose`. Elsewhere it raises SystemExit, unless somebody has put
  another handler in the place of that. A second one, whichever it is, ends it
  at once: a thread sees to that, since Python itself does not get to run while
  XLA compiles.
  """
  _nothing_to_lose.set()
  reading, writing = os.pipe()
  os.set_blocking(writing, False)
  signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
  threading.Thread(target=_watch, args=(reading,), daemon=True).start()
  for number in stop_signals():
    signal.signal(number, _end)


@contextlib.contextmanager
def nothing_to_lose() -> Iterator[None]:
  """While entered, the first stop signal ends the program at once."""
  _nothing_to_lose.set()
  try:
    yield
  finally:
    _nothing_to_lose.clear()


def end_if_told() -> None:
  """Raises SystemExit again, where a library has swallowed that of a signal."""
  if _told:
    sys.exit(EXIT_CONTINUE)


@contextlib.contextmanager
def program() -> Iterator[None]:
  """Around what a program does, once all is imported.

  A signal costs a sentence here, whatever a library has made of SystemExit.
  """
  _nothing_to_lose.clear()
  try:
    yield
  except BaseException:
    if _told:
      _say(_told[0], "; start the same command again.")
      end_if_told()
    raise


def _watch(signals: int) -> None:
  """Reads the numbers of signals, as Python's own handler writes them."""
  number = os.read(signals, 1)[0]
  if not _nothing_to_lose.is_set():
    number = os.read(signals, 1)[0]
  _end_at_once(number)


def _end(number: int, _: Any) -> None:
  if _nothing_to_lose.is_set():
    _end_at_once(number)
  _told.append(number)
  end_if_told()


def _end_at_once(number: int) -> NoReturn:
  _say(number, " at once; the same command goes on from what is kept.")
  os._exit(EXIT_CONTINUE)


def _say(number: int, what: str) -> None:
  """The one sentence, of whichever thread comes first."""
  text = f"stopped by {signal.Signals(number).name}{what}\n"
  with _saying, contextlib.suppress(OSError):  # of a terminal that is closed
    if not _said:
      _said.append(text)
      os.write(2, text.encode())
