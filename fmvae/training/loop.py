"""The training loop: everything with a side effect is here."""

import contextlib
import dataclasses
import functools
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fmvae import data, prior
from fmvae.evaluation import Evaluation, evaluate, report, warn_of_collapse
from fmvae.evaluation.bound import num_used, perplexity
from fmvae.experiment import Experiment
from fmvae.files import InUseError, StorageError, locked, refusal
from fmvae.training import processes, records
from fmvae.training.checkpoints import Checkpoints, Saved, complete_steps
from fmvae.training.state import Batch, TrainState

_AXIS = "devices"
_STEPS_PER_CALL = 50  # at most, on a GPU or TPU
Info = dict[str, float]  # of a step, on the host


def prepare(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
) -> None:
  """Makes the workdir and writes config.json, before any work.

  Args:
    experiment: what will be trained.
    workdir: where.
    devices: as for `train`.

  Raises:
    ValueError: a batch that does not divide by the devices, or a workdir that
      holds a run of another config, is in use or cannot be written.
  """
  config = experiment.config
  num_devices = len(jax.devices() if devices is None else devices)
  if config.batch_size % num_devices:
    raise ValueError(
      f"config.batch_size = {config.batch_size} must be a multiple of the "
      f"{num_devices} devices"
    )

  def write() -> None:
    try:
      workdir.mkdir(parents=True, exist_ok=True)
      with locked(workdir):
        records.check_config(workdir, config)
        records.write_config(workdir, config)
    except OSError as error:
      raise ValueError(
        f"workdir {workdir} cannot be written ({error.strerror}). Choose "
        "another --workdir."
      ) from error

  processes.on_primary(write, ValueError)


def train(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
  initial: TrainState | None = None,
  steps_per_call: int | None = None,
) -> Evaluation:
  """Runs all phases, from the newest checkpoint if the workdir holds one.

  Args:
    experiment: what to train.
    workdir: as `prepare` left it; takes metrics.jsonl, TensorBoard events,
      run.json, checkpoints and, at the end, what `report` writes.
    devices: to spread each batch over; all, of all processes, by default.
    initial: on one device, where there is no checkpoint yet; a new one by
      default.
    steps_per_call: how many steps the host sends off at once, where it need
      not stop between them. One on a CPU by default, whose convolutions are
      slow within a loop, else up to 50.

  Returns:
    The evaluation on the test set after the last step.

  Raises:
    InUseError: another run is at work in the workdir.
    CheckpointError: there are checkpoints and none can be read.
    StorageError: the workdir does not take what is to be kept.
    FloatingPointError: a loss that is not finite; names the step and the term.
      The state before that step has been saved.
    Stopped: SIGTERM or SIGINT came; the state has been saved.
    PeerLost: another process of the run has ended.
  """
  try:
    return _train(
      experiment,
      workdir,
      jax.devices() if devices is None else devices,
      initial,
      steps_per_call,
    )
  except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:
    if processes.is_peer_lost(error):
      what = str(error).partition("\n")[0]
      raise processes.PeerLost(
        f"another process of this run has ended ({what}). Start all of them "
        "again with the same commands; they continue from step "
        f"{max(complete_steps(workdir), default=0)}."
      ) from error
    why = refusal(error)
    if why is None:
      raise
    raise StorageError(
      f"workdir {workdir} cannot be written ({why}). The run is kept up to "
      f"step {max(complete_steps(workdir), default=0)}; once that is put "
      "right, the same command continues it."
    ) from error


def _train(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device],
  initial: TrainState | None,
  steps_per_call: int | None,
) -> Evaluation:
  primary = processes.is_primary()
  with contextlib.ExitStack() as stack:
    signals = stack.enter_context(processes.Signals())
    processes.on_primary(
      lambda: stack.enter_context(locked(workdir)), InUseError
    )
    checkpoints = stack.enter_context(
      Checkpoints(workdir, experiment.config.keep_checkpoints)
    )
    if checkpoints.steps():
      saved = checkpoints.restore(jax.eval_shape(experiment.init))
      print(f"Continuing from step {saved.state.step}.", flush=True)
    else:
      saved = Saved(experiment.init() if initial is None else initial)
    step = int(saved.state.step)
    if primary:
      records.write_start(workdir, experiment.config.seed, step)
    metrics = stack.enter_context(
      records.Metrics(workdir, saved.rows, step)
      if primary
      else records.Rows(saved.rows)
    )
    run = _Run(
      experiment, devices, checkpoints, metrics, signals, steps_per_call
    )
    state = run.to_end(saved)
    result = run.evaluations.get(int(state.step)) or evaluate(experiment, state)
    if primary:
      report(experiment, state, workdir, result, num_samples=1)
  return result


class _Run:
  """One call of `train`: the compiled steps and where their numbers go."""

  def __init__(
    self,
    experiment: Experiment,
    devices: Sequence[jax.Device],
    checkpoints: Checkpoints,
    metrics: records.Rows,
    signals: processes.Signals,
    steps_per_call: int | None,
  ):
    self.experiment = experiment
    self.num_devices = len(devices)
    here = jax.process_index()
    self.here = [i for i, d in enumerate(devices) if d.process_index == here]
    self.devices = [devices[i] for i in self.here]
    self.evaluations: dict[int, Evaluation] = {}  # by step
    self.total = max(experiment.phase_ends.values())
    self.checkpoints = checkpoints
    self.metrics = metrics
    self.feed = data.feed(
      self._batch,
      self.total,
      prefetch=not experiment.config.dataset.in_memory,
    )
    self.signals = signals
    self.calls = 0
    if steps_per_call is None:
      on_cpu = devices[0].platform == "cpu"
      most = math.gcd(experiment.config.log_every, _STEPS_PER_CALL)
      steps_per_call = 1 if on_cpu else most
    self.steps_per_call = steps_per_call

    def compiled(step: Callable[..., Any]) -> Callable[..., Any]:
      return jax.pmap(step, _AXIS, devices=devices, donate_argnums=0)

    steps = experiment.make_steps(_AXIS)._asdict()
    self.step = {phase: compiled(step) for phase, step in steps.items()}
    self.several_steps = {
      phase: compiled(functools.partial(jax.lax.scan, step))
      for phase, step in steps.items()
    }

  def to_end(self, saved: Saved) -> TrainState:
    """Runs the phases that are left."""
    if not saved.position:  # nothing has been read yet
      position = {"next_index": int(saved.state.step)}
      saved = dataclasses.replace(saved, position=position)
    self.feed.set_state(saved.position)
    with tqdm.tqdm(
      total=self.total,
      initial=int(saved.state.step),
      unit="step",
      disable=None if processes.is_primary() else True,
      dynamic_ncols=True,
    ) as bar:
      for phase, end in self.experiment.phase_ends.items():
        step = int(saved.state.step)
        if step >= end:
          continue
        if step == self.experiment.phase_ends["pretrain"]:
          started = self.experiment.start_prior(saved.state)
          saved = dataclasses.replace(saved, state=started)
        bar.set_description(phase)
        saved = self._to(saved, phase, end, bar)
    return saved.state

  def _to(self, saved: Saved, phase: str, end: int, bar: tqdm.tqdm) -> Saved:
    """Runs one phase to its end.

    Between two stops the host only sends steps off; at a stop it looks at
    their numbers, writes what is due and remembers where the run is.
    """
    config = self.experiment.config
    stops = (config.evaluate_every, config.checkpoint_every, config.log_every)
    step, infos = int(saved.state.step), []
    replicated = self._replicate(saved.state)
    clock = time.perf_counter()
    while step < end:
      next_stop = min(end, *(step + n - step % n for n in stops if n > 0))
      num = self.steps_per_call
      if 1 < num <= next_stop - step:
        batches = [next(self.feed) for _ in range(num)]
        stacked = jax.tree.map(lambda *x: np.stack(x, 1), *batches)
        replicated, info = self.several_steps[phase](replicated, stacked)
      else:
        num = 1
        replicated, info = self.step[phase](replicated, next(self.feed))
      infos.append(info)
      step += num
      evaluating, saving, logging_now = (
        step == end or (every > 0 and step % every == 0) for every in stops
      )
      self.calls += 1
      stopping = self.signals.ask_to_stop(self.calls) and step < self.total
      if not (evaluating or saving or logging_now or stopping):
        continue
      state, new = _first(replicated), _floats(infos)
      seconds = time.perf_counter() - clock
      if broken := _not_finite(new, state):
        self._fail(saved, phase, len(new), broken)
      pending = [*saved.pending, *new]
      if evaluating or saving or logging_now:
        values = {
          name: float(np.mean([info[name] for info in pending]))
          for name in pending[0]
        }
        values |= {
          "seconds": seconds,
          "steps_per_second": len(new) / seconds,
        }
        if phase != "pretrain":
          values |= _usage(state.prior)
        self.metrics.write(step, phase, "train", values)
        self._show(bar, phase, step, values, len(new))
        pending = []
      if evaluating:
        result = evaluate(self.experiment, state)
        self.metrics.write(step, phase, "test", result.scalars())
        self.evaluations[step] = result
        if step < self.total and processes.is_primary():  # else reported
          with bar.external_write_mode():
            print(f"step {step} ({phase}), test set: {result}", flush=True)
            warn_of_collapse(result)
      saved = Saved(
        state, phase, list(self.metrics.rows), pending, self.feed.get_state()
      )
      if evaluating or saving or stopping:
        self.checkpoints.save(saved)
      if stopping:
        raise processes.Stopped(
          f"stopped by {self.signals.name} after step {step} of {self.total}, "
          "which is saved; the same command continues."
        )
      self.checkpoints.check_for_errors()
      infos, clock = [], time.perf_counter()
    return saved

  def _fail(
    self, saved: Saved, phase: str, num_steps: int, broken: list[str]
  ) -> NoReturn:
    """Finds the step since `saved` that is not finite; saves what was before.

    The steps are pure, so that going through them again gives what they gave.
    """
    self.feed.set_state(saved.position)
    replicated = self._replicate(saved.state)
    for _ in range(num_steps):
      replicated, info = self.step[phase](replicated, next(self.feed))
      state, new = _first(replicated), _floats([info])
      if found := _not_finite(new, state):
        broken = found
        break
      saved = dataclasses.replace(
        saved,
        state=state,
        phase=phase,
        pending=[*saved.pending, *new],
        position=self.feed.get_state(),
      )
    self.checkpoints.save(saved)
    step = int(saved.state.step)
    raise FloatingPointError(
      f"step {step + 1}: {', '.join(broken)} not finite. The state of step "
      f"{step} is saved. Lower config.learning_rate, or raise "
      "config.kl_anneal_steps, in another --workdir."
    )

  def _replicate(self, state: TrainState) -> TrainState:
    """A copy on each device of this process, along a new axis."""
    mesh, num = Mesh(self.devices, _AXIS), len(self.devices)
    whole = jax.device_put(
      processes.same_everywhere(state), NamedSharding(mesh, PartitionSpec())
    )
    repeat = jax.jit(
      lambda tree: jax.tree.map(
        lambda x: jnp.broadcast_to(x, (num, *x.shape)), tree
      ),
      out_shardings=NamedSharding(mesh, PartitionSpec(_AXIS)),
    )
    return repeat(whole)

  def _batch(self, step: int) -> Batch:
    """This process's rows of the batch of a step, a part for each device."""
    train, config = self.experiment.train, self.experiment.config
    indices = data.batch_indices(
      config.seed, step, num_data=len(train), batch_size=config.batch_size
    )
    rows = indices.reshape(self.num_devices, -1)[self.here]
    return jax.tree.map(
      lambda x: x.reshape(rows.shape + x.shape[1:]), train.batch(rows.ravel())
    )

  def _show(
    self,
    bar: tqdm.tqdm,
    phase: str,
    step: int,
    values: dict[str, float],
    num: int,
  ) -> None:
    """Moves the bar, or logs a line now and then where there is none."""
    shown = {
      name: f"{value:.4g}"
      for name, value in values.items()
      if name not in ("seconds", "steps_per_second")
    }
    bar.update(num)
    bar.set_postfix(shown, refresh=False)
    if bar.disable and step % (10 * self.experiment.config.log_every) == 0:
      rate = values["steps_per_second"]
      print(
        f"{phase} {step}/{self.total}, {rate:.0f} steps/s,",
        f"{(self.total - step) / rate:.0f} s left:",
        ", ".join(f"{name} {value}" for name, value in shown.items()),
        flush=True,
      )


def _first(replicated: Any) -> Any:
  """The copy of this process's first device, on that device alone."""
  if len(jax.tree.leaves(replicated)[0].sharding.device_set) > 1:
    replicated = jax.tree.map(
      lambda x: x.addressable_shards[0].data, replicated
    )
  return _drop_axis(replicated)


@jax.jit
def _drop_axis(tree: Any) -> Any:
  return jax.tree.map(lambda x: x[0], tree)


def _usage(state: prior.PriorState) -> dict[str, float]:
  """Components in use by q(pi), for the training log."""
  suffixes = [f"/{i}" for i in range(len(state.factors))]
  suffixes = [""] if len(suffixes) == 1 else suffixes
  out: dict[str, float] = {}
  parts = zip(suffixes, num_used(state), prior.usage(state), strict=True)
  for suffix, used, usage in parts:
    out[f"used{suffix}"] = used
    out[f"perplexity{suffix}"] = perplexity(np.asarray(usage.share))
  return out


def _floats(infos: list[dict[str, jax.Array]]) -> list[Info]:
  """Infos of steps, on the host, each of one or more."""
  out = []
  for info in jax.device_get(infos):
    first = {name: np.atleast_1d(values[0]) for name, values in info.items()}
    num = len(next(iter(first.values())))
    out += [{k: float(v[i]) for k, v in first.items()} for i in range(num)]
  return out


def _not_finite(infos: list[Info], state: TrainState) -> list[str]:
  """Terms of steps that are not finite, else parts of the state after them."""
  terms = [
    name
    for name in infos[0]
    if name != "bound" and not all(math.isfinite(info[name]) for info in infos)
  ]
  finite = _finite_parts(state)
  return terms or [name for name, ok in finite.items() if not ok]


@jax.jit
def _finite_parts(state: TrainState) -> dict[str, jax.Array]:
  """Whether each part of a state is finite, by name."""
  parts = ("params", "opt_state", "prior", "named_opt_state")
  return {
    name: jax.tree.reduce(
      lambda finite, x: finite & jnp.all(jnp.isfinite(x)),
      getattr(state, name),
      jnp.array(True),
    )
    for name in parts
  }
