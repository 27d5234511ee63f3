"""The training loop: everything with a side effect is here."""

import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from fmvae import data, prior
from fmvae.evaluation import Evaluation, evaluate, report, warn_of_collapse
from fmvae.evaluation.bound import num_used, perplexity
from fmvae.experiment import Experiment
from fmvae.files import locked, write_json
from fmvae.training import records
from fmvae.training.checkpoints import Checkpoints
from fmvae.training.state import Batch, TrainState

_AXIS = "devices"


def prepare(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
) -> None:
  """Makes the workdir and writes config.json and run.json, before any work.

  Args:
    experiment: what will be trained.
    workdir: where.
    devices: as for `train`.

  Raises:
    ValueError: a batch that does not divide by the devices, or a workdir that
      holds a run of another config or cannot be written.
  """
  config = experiment.config
  num_devices = len(jax.local_devices() if devices is None else devices)
  if config.batch_size % num_devices:
    raise ValueError(
      f"config.batch_size = {config.batch_size} must be a multiple of the "
      f"{num_devices} devices"
    )
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    records.check_config(workdir, config)
    records.write_config(workdir, config)
    write_json(
      workdir / "run.json", {"seed": config.seed, **records.describe_run()}
    )
  except OSError as error:
    raise ValueError(
      f"workdir {workdir} cannot be written ({error.strerror}). Choose another "
      "--workdir."
    ) from error


def train(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
  initial: TrainState | None = None,
) -> Evaluation:
  """Runs all phases, from the newest checkpoint if the workdir holds one.

  Args:
    experiment: what to train.
    workdir: as `prepare` left it; takes metrics.jsonl, TensorBoard events,
      checkpoints and, at the end, what `report` writes.
    devices: to spread each batch over, all local ones by default.
    initial: on one device, where there is no checkpoint yet; a new one by
      default.

  Returns:
    The evaluation on the test set after the last step.

  Raises:
    InUseError: another run is at work in the workdir.
    FloatingPointError: a loss that is not finite; names the step and the term.
  """
  devices = jax.local_devices() if devices is None else devices
  with locked(workdir), Checkpoints(workdir) as checkpoints:
    state = experiment.init() if initial is None else initial
    if checkpoints.latest_step() is not None:
      state = checkpoints.restore(state)
      print(f"Continuing from step {state.step}.")
    with records.Metrics(workdir, int(state.step)) as metrics:
      run = _Run(experiment, devices, checkpoints, metrics)
      state = run.to_end(state)
    result = run.evaluations.get(int(state.step))
    result = result or evaluate(experiment, state)
    report(experiment, state, workdir, result, num_samples=1)
  return result


class _Run:
  """One call of `train`: the compiled steps and where their numbers go."""

  def __init__(
    self,
    experiment: Experiment,
    devices: Sequence[jax.Device],
    checkpoints: Checkpoints,
    metrics: records.Metrics,
  ):
    self.experiment = experiment
    self.num_devices = len(devices)
    self.evaluations: dict[int, Evaluation] = {}  # by step
    self.total = max(experiment.phase_ends.values())
    self.checkpoints = checkpoints
    self.metrics = metrics
    steps = experiment.make_steps(_AXIS)
    self.steps: dict[str, Callable[..., Any]] = {
      phase: jax.pmap(step, _AXIS, devices=devices, donate_argnums=0)
      for phase, step in steps._asdict().items()
    }

  def to_end(self, state: TrainState) -> TrainState:
    """Runs the phases that are left."""
    first = int(state.step)
    with tqdm.tqdm(
      total=self.total,
      initial=first,
      unit="step",
      disable=None,
      dynamic_ncols=True,
    ) as bar:
      for phase, end in self.experiment.phase_ends.items():
        if int(state.step) >= end:
          continue
        if int(state.step) == self.experiment.phase_ends["pretrain"]:
          state = self.experiment.start_prior(state)
        bar.set_description(phase)
        state = self._to(state, phase, end, bar)
    return state

  def _to(
    self, state: TrainState, phase: str, end: int, bar: tqdm.tqdm
  ) -> TrainState:
    """Runs one phase to its end; returns the state on one device."""
    config = self.experiment.config
    stops = (config.evaluate_every, config.checkpoint_every, config.log_every)
    step, infos = int(state.step), []
    replicated = self._replicate(state)
    clock = time.perf_counter()
    while step < end:
      replicated, info = self.steps[phase](replicated, self._batch(step))
      infos.append(info)
      step += 1
      evaluating, saving, logging_now = (
        step == end or (every > 0 and step % every == 0) for every in stops
      )
      if not (evaluating or saving or logging_now):
        continue
      values = _averages(infos, step)
      seconds = time.perf_counter() - clock
      values |= {"seconds": seconds, "steps_per_second": len(infos) / seconds}
      if phase != "pretrain":
        values |= _usage(_first(replicated.prior))
      self.metrics.write(step, phase, "train", values)
      self._show(bar, phase, step, values, len(infos))
      infos = []
      if evaluating or saving:
        state = _first(replicated)
      if evaluating:
        result = evaluate(self.experiment, state)
        self.metrics.write(step, phase, "test", result.scalars())
        self.evaluations[step] = result
        if step < self.total:  # the last one is reported
          with bar.external_write_mode():
            print(f"step {step} ({phase}), test set: {result}", flush=True)
            warn_of_collapse(result)
      if saving:
        self.checkpoints.save(state)
      clock = time.perf_counter()
    return state

  def _replicate(self, state: TrainState) -> TrainState:
    shape = (self.num_devices,)
    return jax.tree.map(lambda x: jnp.broadcast_to(x, shape + x.shape), state)

  def _batch(self, step: int) -> Batch:
    """The batch of a step, a part for each device."""
    train, config = self.experiment.train, self.experiment.config
    indices = data.batch_indices(
      config.seed, step, num_data=len(train), batch_size=config.batch_size
    )
    return jax.tree.map(
      lambda x: x.reshape(self.num_devices, -1, *x.shape[1:]),
      train.batch(indices),
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
  """The first device's copy."""
  return jax.tree.map(lambda x: x[0], replicated)


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


def _averages(infos: list[dict[str, jax.Array]], step: int) -> dict[str, float]:
  """Means over the steps up to `step`.

  Raises:
    FloatingPointError: naming the first step and term that is not finite.
  """
  fetched = jax.device_get(infos)
  names = fetched[0].keys()
  table = {name: [float(i[name][0]) for i in fetched] for name in names}
  parts = [name for name in names if name != "bound"]
  for row in range(len(fetched)):
    broken = [name for name in parts if not math.isfinite(table[name][row])]
    if broken:
      raise FloatingPointError(
        f"step {step - len(fetched) + row + 1}: {', '.join(broken)} is not "
        "finite. Lower config.learning_rate, or raise config.kl_anneal_steps."
      )
  return {name: float(np.mean(values)) for name, values in table.items()}
