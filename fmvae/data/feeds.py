"""The batches of a run one after the other, from any step on.

A position is what Grain makes of it: {"next_index": number of the next batch}.
"""

from collections.abc import Callable
from typing import Any, Protocol

_THREADS = 4
_AHEAD = 8  # batches


class Feed(Protocol):
  """An iterator over batches that knows its position."""

  def __next__(self) -> Any:
    """The next batch."""

  def get_state(self) -> dict[str, Any]:
    """The position, as JSON holds it."""

  def set_state(self, state: dict[str, Any]) -> None:
    """Goes to a position."""


def feed(read: Callable[[int], Any], num: int, *, prefetch: bool) -> Feed:
  """Calls `read` with 0 to `num` - 1.

  Args:
    read: gives the batch of a step.
    num: steps of the run.
    prefetch: read ahead, by Grain's threads; for batches that take a while.
  """
  if not prefetch:
    return _Direct(read)
  import grain  # loads slowly

  options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
  return iter(grain.MapDataset.range(num).map(read).to_iter_dataset(options))


class _Direct:
  """Without reading ahead, by Grain's protocol."""

  def __init__(self, read: Callable[[int], Any]):
    self._read, self._next = read, 0

  def __next__(self) -> Any:
    batch = self._read(self._next)
    self._next += 1
    return batch

  def get_state(self) -> dict[str, Any]:
    return {"next_index": self._next}

  def set_state(self, state: dict[str, Any]) -> None:
    self._next = state["next_index"]
