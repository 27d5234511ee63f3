"""The processes of a run, one a host, and the signals that end them.

Several processes train one model under `jax.distributed`: each feeds the
devices of its host its own rows of every batch, all write checkpoints, and the
first writes everything else.
"""

import ctypes
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fmvae.model import TrainState, pack, unpack
from fmvae.training import host

_PATIENCE_S = 30  # after which a silent process counts as lost
_T = TypeVar("_T")
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handlers: dict[int, Any] = {}  # of C, for as long as the process lives
_received: list[str] = []  # names of the signals that JAX was told of


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


def peer_lost(error: Exception, then: str) -> PeerLost:
  """What an error of which `is_peer_lost` is true means for a user."""
  what = str(error).partition("\n")[0]
  return PeerLost(
    f"another process of this run has ended ({what}). Start all of them again "
    f"with the same commands; {then}."
  )


def start(
  coordinator: str | None,
  num_processes: int | None,
  process_id: int | None,
  patience_s: float = 300.0,
) -> None:
  """Joins the other processes of the run; before anything else uses JAX.

  With three None: those of the Slurm step that this process is a task of, and
  none elsewhere. From here on a stop signal reaches all of them: see `Signals`.
  Ends the process with a sentence where the others do not come, or JAX aborts.

  Args:
    coordinator: host:port of the first process.
    num_processes: of the run.
    process_id: of this one, from 0.
    patience_s: how long to wait for the others.

  Raises:
    ValueError: some are given and others not, or they cannot be right.
  """
  given = (coordinator, num_processes, process_id)
  if all(value is None for value in given):
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
      return
  elif coordinator is None or num_processes is None or process_id is None:
    raise ValueError(
      "--coordinator, --num_processes and --process_id go together"
    )
  else:
    if not re.fullmatch(r".+:\d+", coordinator):
      raise ValueError(f"--coordinator must be HOST:PORT, got {coordinator}")
    if process_id >= num_processes:
      raise ValueError(
        f"--process_id must be less than --num_processes={num_processes}, got "
        f"{process_id}"
      )
  _on_abort(
    1,
    "error: the processes of this run did not find each other, as JAX says "
    "above. Start one for each --process_id, on ports that are free.",
  )
  late = threading.Timer(patience_s, _give_up, (coordinator, patience_s))
  late.daemon = True
  late.start()
  try:
    with host.nothing_to_lose():
      jax.distributed.initialize(
        *given,
        initialization_timeout=int(patience_s) + _PATIENCE_S,
        heartbeat_timeout_seconds=_PATIENCE_S,
        shutdown_timeout_seconds=_PATIENCE_S,
      )
  except RuntimeError as error:
    raise ValueError(
      f"the processes of this run did not find each other ({error})"
    ) from error
  finally:
    late.cancel()
  if jax.process_count() == 1:
    _set_handler(signal.SIGABRT, _Handler(signal.SIG_DFL))
    return
  _on_abort(
    host.EXIT_CONTINUE,
    "another process of this run has ended, as JAX says above, or was started "
    "a second time. Start all of them again with the same commands; they "
    "continue.",
  )
  _tell_jax_of_signals()


def _give_up(coordinator: str | None, patience_s: float) -> NoReturn:
  """Ends a process for which the others have not come."""
  who = "not all processes of this run have come"
  if coordinator is not None:
    name, port = coordinator.rsplit(":", 1)
    try:
      socket.create_connection((name.strip("[]"), int(port)), 5).close()
    except OSError as error:
      who = f"process 0 of this run is not at {coordinator} ({error})"
  text = (
    f"error: {who}, for which this one has waited {patience_s:g} s. Look at "
    "what each has said, and start one for each --process_id.\n"
  )
  os.write(2, text.encode())
  os._exit(1)


def _on_abort(code: int, sentence: str) -> None:
  """Has a process that JAX aborts end with a sentence and an exit code.

  JAX ends a process whose coordinator reports an error, from a thread of its
  own and without asking anybody.
  """

  def end(_: int) -> None:
    os.write(2, f"{sentence}\n".encode())
    os._exit(code)

  _set_handler(signal.SIGABRT, _Handler(end))


def _set_handler(number: int, handler: Any) -> Any:
  """Has C call a function on a signal, with no regard to what Python does.

  Args:
    number: of the signal.
    handler: a `_Handler`.

  Returns:
    The `_Handler` that was there.
  """
  replace = ctypes.CDLL(None).signal
  replace.restype, replace.argtypes = ctypes.c_void_p, [ctypes.c_int, _Handler]
  _handlers[number] = handler
  return _Handler(replace(number, handler) or 0)


def _tell_jax_of_signals() -> None:
  """Has each stop signal do what JAX does on SIGTERM alone: tell everybody."""
  tell_all = _set_handler(signal.SIGTERM, _Handler(signal.SIG_IGN))

  def receive(number: int, _: Any) -> None:
    _received.append(signal.Signals(number).name)
    tell_all(signal.SIGTERM)

  for number in host.stop_signals():
    signal.signal(number, receive)


def is_primary() -> bool:
  """Whether this process writes what one process writes."""
  return jax.process_index() == 0


def everywhere(do: Callable[[], _T], error: type[Exception]) -> _T:
  """What `do` returns on this process, once all processes have done it.

  Raises:
    error: on all processes, where `do` raises it on one.
    PeerLost: another process has ended.
  """
  if jax.process_count() == 1:
    return do()
  message = ""
  try:
    result = do()
  except error as failure:
    message = str(failure)
  for text in _gather(message):
    if text:
      raise error(text)
  return result


def on_primary(do: Callable[[], _T], error: type[Exception]) -> _T | None:
  """What `do` returns on the first process, for which the others wait.

  Raises as `everywhere` does.
  """
  return everywhere(lambda: do() if is_primary() else None, error)


def agree(values: Mapping[str, Any]) -> None:
  """Makes sure that all processes were given the same.

  Args:
    values: by the names that a user knows; as JSON takes them.

  Raises:
    ValueError: on all processes; names the first value that differs.
    PeerLost: another process has ended.
  """
  first, *others = map(json.loads, _gather(json.dumps(dict(values))))
  for number, other in enumerate(others, 1):
    for name in {**first, **other}:
      if first.get(name) != other.get(name):
        raise ValueError(
          f"the processes of a run must agree on {name}, got "
          f"{first.get(name)!r} in process 0 and {other.get(name)!r} in "
          f"process {number}"
        )


def _gather(text: str) -> list[str]:
  """The texts of all processes, in their order."""
  if jax.process_count() == 1:
    return [text]
  own = np.frombuffer(text.encode(), np.uint8)
  gather = multihost_utils.process_allgather
  try:
    sizes = np.asarray(gather(np.int32(len(own))))
    padded = np.pad(own, (0, 1 + sizes.max() - len(own)))
    texts = np.asarray(gather(padded), np.uint8)
  except (TimeoutError, ValueError, jax.errors.JaxRuntimeError) as error:
    if is_peer_lost(error):
      raise peer_lost(error, "they begin again") from error
    raise
  return [
    row[:size].tobytes().decode()
    for row, size in zip(texts, sizes, strict=True)
  ]


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
  """While entered, a stop signal asks the run to stop after a step.

  The stop signals are SIGTERM, SIGINT and SIGHUP. A second one does what the
  first would have done before. In a run of several processes JAX has all of
  them stop after the same step, whichever has received one.
  """

  def __init__(self) -> None:
    self.name: str | None = None
    self._former: dict[int, Any] = {}

  def __enter__(self) -> "Signals":
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and jax.process_count() == 1:
      for number in host.stop_signals():
        self._former[number] = signal.signal(number, self._receive)
    return self

  def __exit__(self, *_) -> None:
    self.release()

  def release(self) -> None:
    """Has signals do what they did before."""
    for number, handler in self._former.items():
      signal.signal(number, handler)
    self._former = {}

  def _receive(self, number: int, _) -> None:
    self.name = signal.Signals(number).name
    self.release()

  def ask_to_stop(self, call: int) -> bool:
    """Whether to stop now; the same for every process.

    Args:
      call: 1, 2, .. in every process, one more each time.
    """
    if (
      jax.process_count() > 1
      and multihost_utils.reached_preemption_sync_point(call)
    ):
      self.name = (*_received, "another process")[0]
    return self.name is not None
