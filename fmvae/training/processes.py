"""The processes of a run, one a host, and the signals that end them.

Several processes train one model under `jax.distributed`: each feeds the
devices of its host its own rows of every batch, all write checkpoints, and the
first writes everything else.
"""

import ctypes
import os
import re
import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fmvae.model import TrainState, pack, unpack

# The exit code of a run that the same command continues: it was told to stop
# and has saved its state, or it has lost another process.
EXIT_CONTINUE = os.EX_TEMPFAIL

_PATIENCE_S = 30  # after which a silent process counts as lost
_MESSAGE_BYTES = 4096
_T = TypeVar("_T")


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


class Stopped(Exception):
  """The run was told to stop and has saved its state."""


class PeerLost(Exception):
  """Another process of the run has ended."""


def is_peer_lost(error: BaseException | None) -> bool:
  """Whether an error of JAX or Orbax says that another process has ended.

  They raise JaxRuntimeError or ValueError with the code of an absl::Status, or
  TimeoutError.
  """
  codes = "ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN"
  return jax.process_count() > 1 and (
    isinstance(error, TimeoutError)
    or re.match(f"({codes}):", str(error)) is not None
  )


def start(
  coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the other processes of the run; before anything else uses JAX.

  With three None: those of the Slurm step that this process is a task of, and
  none elsewhere.

  Args:
    coordinator: host:port of the first process.
    num_processes: of the run.
    process_id: of this one, from 0.

  Raises:
    ValueError: some are given and others not, or the others do not come.
  """
  given = (coordinator, num_processes, process_id)
  if all(value is None for value in given):
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
      return
  elif any(value is None for value in given):
    raise ValueError(
      "--coordinator, --num_processes and --process_id go together"
    )
  try:
    jax.distributed.initialize(
      *given,
      heartbeat_timeout_seconds=_PATIENCE_S,
      shutdown_timeout_seconds=_PATIENCE_S,
    )
  except RuntimeError as error:
    raise ValueError(
      f"the processes of this run did not find each other ({error})"
    ) from error


def is_primary() -> bool:
  """Whether this process writes what one process writes."""
  return jax.process_index() == 0


def on_primary(do: Callable[[], _T], error: type[Exception]) -> _T | None:
  """What `do` returns on the first process, for which the others wait.

  Raises:
    error: on all processes, where `do` raises it on the first.
  """
  if jax.process_count() == 1:
    return do()
  result, message = None, ""
  if is_primary():
    try:
      result = do()
    except error as failure:
      message = str(failure)
  text = np.zeros(_MESSAGE_BYTES, np.uint8)
  encoded = message.encode()[:_MESSAGE_BYTES]
  text[: len(encoded)] = np.frombuffer(encoded, np.uint8)
  text = np.asarray(multihost_utils.broadcast_one_to_all(text), np.uint8)
  message = text.tobytes().rstrip(b"\0").decode(errors="replace")
  if message:
    raise error(message)
  return result


def same_everywhere(state: TrainState) -> TrainState:
  """The first process's state."""
  if jax.process_count() == 1:
    return state
  return unpack(multihost_utils.broadcast_one_to_all(pack(state)))


def shared(packed: TrainState) -> TrainState:
  """Numbers on the host as one array over all devices, for all to save."""
  if jax.process_count() == 1:
    return packed
  sharding = NamedSharding(Mesh(jax.devices(), "devices"), PartitionSpec())
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, sharding, lambda i: x[i]),
    packed,
  )


class Signals:
  """While entered, SIGTERM and SIGINT ask the run to stop after a step.

  The same one again ends the process at once. In a run of several processes
  JAX takes SIGTERM for any of them and has all stop after the same step.
  """

  def __init__(self) -> None:
    self.name: str | None = None
    self._former: dict[int, Any] = {}

  def __enter__(self) -> "Signals":
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and jax.process_count() == 1:
      for number in (signal.SIGTERM, signal.SIGINT):
        self._former[number] = signal.signal(number, self._receive)
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._former.items():
      signal.signal(number, handler)

  def _receive(self, number: int, _) -> None:
    self.name = signal.Signals(number).name
    signal.signal(number, self._former[number])

  def ask_to_stop(self, call: int) -> bool:
    """Whether to stop now; the same for every process.

    Args:
      call: 1, 2, .. in every process, one more each time.
    """
    if (
      jax.process_count() > 1
      and multihost_utils.reached_preemption_sync_point(call)
    ):
      self.name = "SIGTERM"
    return self.name is not None
