"""Checkpoints of a run, written in the background by Orbax.

A checkpoint holds the packed state and a record of what else the run needs to
go on as if it had not stopped. Orbax makes a checkpoint appear whole or not at
all. What happens to its files afterwards it notices in part: a flipped bit in
an array is read as another number. The record therefore carries a SHA-256 of
everything, and a checkpoint that disagrees with it counts as unreadable.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae import experiment as experiment_lib
from fmvae.experiment import Experiment
from fmvae.model import TrainState, init, pack, unpack
from fmvae.training import processes, records

_FOLDER = "checkpoints"
_PATIENCE_S = 600  # with a disk, and with the other processes


class CheckpointError(ValueError):
  """There is no checkpoint, or none that can be read."""


@dataclasses.dataclass(frozen=True)
class Saved:
  """A state and what belongs to it."""

  state: TrainState  # on one device
  phase: str = ""  # of the step before
  rows: Sequence[records.Row] = ()  # of metrics, so far
  pending: Sequence[dict[str, float]] = ()  # info of the steps since the last
  position: dict[str, Any] = dataclasses.field(default_factory=dict)  # of data

  def record(self) -> dict[str, Any]:
    """What is kept beside the arrays, as JSON gives it back."""
    fields = {
      "phase": self.phase,
      "rows": list(self.rows),
      "pending": list(self.pending),
      "position": self.position,
    }
    return json.loads(json.dumps(fields))


def complete_steps(workdir: pathlib.Path) -> list[int]:
  """Steps whose checkpoint is there, as a look at the folder tells."""
  folder = workdir / _FOLDER
  if not folder.is_dir():
    return []
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal())


def can_be_read(workdir: pathlib.Path, step: int) -> bool:
  """Whether the files of a checkpoint are there and can be decoded.

  Numbers that have changed are found by `Checkpoints.restore` alone, which
  knows the structure that the SHA-256 is of.
  """
  folder = (workdir / _FOLDER / str(step)).absolute()
  try:
    json.loads((folder / "record" / "metadata").read_text())["sha256"]
    reader, place = ocp.PyTreeCheckpointHandler(), folder / "state"
    as_numpy = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
      reader.metadata(place).tree,
    )
    reader.restore(place, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    reader.close()
  except Exception:  # Orbax and TensorStore raise all kinds
    return False
  return True


class Checkpoints:
  """The checkpoints of one workdir; a context manager that waits on exit."""

  def __init__(
    self,
    workdir: pathlib.Path,
    keep: int | None = None,
    config: ConfigDict | None = None,
  ):
    """Opens them.

    Args:
      workdir: of the run.
      keep: how many of the newest stay, beside the one with the best bound
        (`records.bounds`); None to read alone, also while a run writes.
      config: of the run, which its checkpoints remember.
    """
    self._config = None if config is None else records.flat(config)
    self._folder = (workdir / _FOLDER).absolute()
    self._reading = keep is None
    self._keep = _LastAndBest(keep)
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=self._keep,
        cleanup_tmp_directories=not self._reading,  # of a run that was killed
        create=not self._reading,
        save_root_metadata=not self._reading,
        async_options=ocp.AsyncOptions(
          timeout_secs=_PATIENCE_S,
          # Where a folder cannot be made in the background, as on a full
          # disk, Orbax waits for it in the foreground.
          create_directories_asynchronously=False,
        ),
      ),
    )

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, _, error: BaseException | None, __) -> None:
    if error is None:
      self._manager.close()
    elif not processes.is_peer_lost(error):  # for which it would wait
      with contextlib.suppress(Exception):  # the first failure counts
        self._manager.close()

  def steps(self) -> list[int]:
    """Those with a complete checkpoint, in order."""
    return sorted(self._manager.all_steps())

  def save(self, saved: Saved) -> None:
    """Saves in the background, unless the step is already there.

    Raises:
      OSError, ValueError: this or an earlier checkpoint cannot be written.
    """
    self._manager.check_for_errors()
    step = int(saved.state.step)
    if step in self.steps():
      return
    self._keep.learn(saved.rows)
    packed = jax.device_get(pack(saved.state))
    record = {**saved.record(), "config": self._config}
    size = sum(x.nbytes for x in jax.tree.leaves(packed))
    if shutil.disk_usage(self._folder).free < size:  # Orbax would say it at
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # great length
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(processes.shared(packed)),
        record=ocp.args.JsonSave({**record, "sha256": _digest(packed, record)}),
      ),
    )

  def wait(self) -> None:
    """Returns when all that was saved is there; raises as `save` does."""
    self._manager.wait_until_finished()
    self._manager.check_for_errors()

  def check_for_errors(self) -> None:
    """Raises what went wrong in the background, as `save` does."""
    self._manager.check_for_errors()

  def restore(self, like: TrainState, step: int | None = None) -> Saved:
    """The newest checkpoint that can be read, or that of a step.

    A newer one that cannot be read is reported, and set aside where this is
    not for reading alone.

    Args:
      like: a state of the same structure; shapes and types will do.
      step: of the checkpoint.

    Raises:
      CheckpointError: there is none, none can be read, or it is of another
        config; lists the differences.
    """
    steps = self.steps() if step is None else [step]
    if not steps:
      raise CheckpointError(f"there is no checkpoint in {self._folder} yet")
    broken: dict[int, str] = {}
    for candidate in reversed(steps):
      try:
        found = self._read(candidate, like)
      except CheckpointError:  # of another config
        raise
      except Exception as error:  # Orbax and TensorStore raise all kinds
        broken[candidate] = re.split(r"\n| \[", str(error) or repr(error))[0]
        logging.warning(
          "The checkpoint of step %d in %s cannot be read (%s).",
          candidate,
          self._folder,
          broken[candidate],
        )
        continue
      if broken and not self._reading:
        self._set_aside(broken)
      self._keep.learn(found.rows)
      return found
    why = "; ".join(f"step {s}: {text}" for s, text in broken.items())
    raise CheckpointError(
      f"no checkpoint in {self._folder} can be read ({why}); move the folder "
      "away to start anew"
    )

  def best_step(self, like: TrainState) -> int:
    """The step whose checkpoint has the best bound (`records.bounds`).

    Raises:
      CheckpointError: as `restore`, or no checkpoint has a bound.
    """
    self._keep.learn(self.restore(like).rows)
    best = self._keep.best(self.steps())
    if best is None:
      raise CheckpointError(f"no checkpoint in {self._folder} was scored")
    return best

  def _read(self, step: int, like: TrainState) -> Saved:
    target = jax.tree.map(
      lambda x: np.empty(x.shape, x.dtype), jax.eval_shape(pack, like)
    )
    record = dict(self._restore(step, "record", ocp.args.JsonRestore()))
    try:
      state = self._restore(step, "state", ocp.args.StandardRestore(target))
    except Exception:  # as of a state of another structure
      self._check_config(step, record)
      raise
    if record.pop("sha256", None) != _digest(state, record):
      raise ValueError("its content is not what was saved")
    self._check_config(step, record)
    record.pop("config", None)
    saved = Saved(unpack(state), **record)
    if int(saved.state.step) != step:
      raise ValueError(f"its content is that of step {saved.state.step}")
    return saved

  def _restore(self, step: int, item: str, args: Any) -> Any:
    items = ocp.args.Composite(**{item: args})
    found = self._manager.restore(step, args=items)
    return found[item]

  def _check_config(self, step: int, record: dict[str, Any]) -> None:
    kept = record.get("config")
    if kept and self._config and (kept := records.ADDED | kept) != self._config:
      raise CheckpointError(
        f"{self._folder.parent / 'config.json'} is not the config with which "
        f"step {step} was reached ("
        f"{records.differences(kept, self._config)}). Put it back."
      )

  def _set_aside(self, steps: Iterable[int]) -> None:
    """Moves checkpoints out of the way of those that will be saved again."""
    if processes.is_primary():
      place = self._folder.parent / "unreadable"
      place.mkdir(exist_ok=True)
      for step in steps:
        number = len(list(place.iterdir()))
        (self._folder / str(step)).rename(place / f"{number}_step_{step}")
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices("set aside")
    self._manager.reload()


class _LastAndBest:
  """Keeps the newest checkpoints and the one with the best bound."""

  def __init__(self, num_last: int | None):
    self._num_last = num_last
    self._bounds: dict[int, float] = {}

  def learn(self, rows: Sequence[records.Row]) -> None:
    """Takes the bounds from rows of metrics."""
    self._bounds = records.bounds(rows)

  def best(self, steps: Sequence[int]) -> int | None:
    """The one with the best bound, if any is known."""
    known = [s for s in steps if s in self._bounds]
    return max(known, key=self._bounds.__getitem__, default=None)

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    """What Orbax asks after each save."""
    del context
    steps = [checkpoint.step for checkpoint in checkpoints]
    last = sorted(steps)[-(self._num_last or len(steps)) :]
    return [s in last or s == self.best(steps) for s in steps]


def _digest(packed: TrainState, record: dict[str, Any]) -> str:
  """SHA-256 of arrays, with their names, types and shapes, and of a record."""
  out = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(packed):
    array = np.asarray(leaf)
    name = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}"
    out.update(name.encode())
    out.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
  return out.hexdigest()


def restore_pretrained(
  experiment: Experiment, workdir: pathlib.Path
) -> TrainState:
  """The state from which a run goes on that leaves phase 1 to another run.

  Args:
    experiment: of the run that goes on.
    workdir: of the run that was trained with `config.pretraining` of the
      experiment's config. What follows is the same, bit for bit, as if phase 1
      had been run here.

  Raises:
    ValueError: it holds no such run, or one that has not finished.
  """
  config = config_lib.pretraining(experiment.config)
  records.read_config(workdir)
  records.check_config(workdir, config)
  model = experiment.model.replace(
    prior=config_lib.make_prior(config), properties=()
  )
  phase, key = experiment.phases[0], jax.random.key(0)
  like = jax.eval_shape(lambda: init(model, phase, key))
  with Checkpoints(workdir, config=config) as checkpoints:
    first = checkpoints.restore(like).state
  if int(first.step) != config.steps.pretrain:
    raise ValueError(
      f"{workdir} is at step {first.step} of {config.steps.pretrain} of its "
      f"pre-training: let it finish first, by launch.train --workdir={workdir}"
    )
  new = experiment_lib.init(experiment)
  return first.replace(
    params=_over(new.params, first.params),
    opt_state=_over(new.opt_state, first.opt_state),
    prior=new.prior,
    named_opt_state=new.named_opt_state,
  )


def _over(new: Any, old: Any) -> Any:
  """`new` with the leaves of `old` where that has them: no prior's params."""
  known = dict(jax.tree_util.tree_leaves_with_path(old))
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: known.get(path, leaf), new
  )
