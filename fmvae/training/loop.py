"""The training loop: advance, check, log, evaluate, save."""

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae import data
from fmvae import experiment as experiment_lib
from fmvae.evaluation import Evaluation
from fmvae.experiment import Experiment
from fmvae.model import Phase, TrainState, train_step
from fmvae.storage import InUseError, refusal, unwritable
from fmvae.training import devices as devices_lib
from fmvae.training import host, processes, progress, records
from fmvae.training.checkpoints import complete_steps
from fmvae.training.run import Run, Start, Stretch

_FILE_SYSTEM_S = 60  # after which all hosts see a file that one has written


def prepare(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
) -> None:
  """Makes the workdir, with config.json and data.json, before any work.

  Args:
    experiment: what will be trained.
    workdir: where.
    devices: as for `train`.

  Raises:
    ValueError: a batch that does not divide by the devices, a model that does
      not fit into their memory, a workdir that holds a run of another config
      or other data, is in use or cannot be written, or processes that do not
      see the same data or the same workdir.
  """
  config = experiment.config
  devices = jax.devices() if devices is None else devices
  if config.batch_size % len(devices):
    raise ValueError(
      f"config.batch_size must be a multiple of the {len(devices)} devices, "
      f"got {config.batch_size}"
    )
  state = jax.eval_shape(lambda: experiment_lib.init(experiment))
  here = [d for d in devices if d.process_index == jax.process_index()]
  processes.everywhere(
    lambda: devices_lib.check_memory(state, here[0]), ValueError
  )

  def write() -> None:
    try:
      workdir.mkdir(parents=True, exist_ok=True)
      with records.held(workdir, config, experiment.spec):
        pass
    except OSError as error:
      raise ValueError(
        f"workdir {workdir} cannot be written ({error.strerror}). Choose "
        "another --workdir."
      ) from error

  processes.agree(_data_facts(experiment))
  processes.on_primary(write, ValueError)
  processes.everywhere(lambda: _wait_for_config(workdir), ValueError)


def _wait_for_config(workdir: pathlib.Path) -> None:
  """Returns once this process sees what the first has written."""
  deadline = time.monotonic() + _FILE_SYSTEM_S
  while not (workdir / "config.json").is_file():
    if time.monotonic() > deadline:
      raise ValueError(
        f"workdir {workdir} must be the same folder for all processes, got one "
        f"without config.json in process {jax.process_index()}"
      )
    time.sleep(0.1)


def _data_facts(experiment: Experiment) -> dict[str, Any]:
  """What tells whether two processes see the same data."""
  train, config = experiment.train, experiment.config
  indices = data.batch_indices(
    config.seed, 0, num_data=len(train), batch_size=config.batch_size
  )
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(train.batch(indices)):
    digest.update(np.ascontiguousarray(leaf))
  return {
    "the number of training images": len(train),
    "the number of test images": len(experiment.test),
    "the first batch (its SHA-256)": digest.hexdigest(),
  }


def check_together(configs: Sequence[ConfigDict]) -> None:
  """Does nothing where runs can be trained in one program, or there is one.

  Raises:
    ValueError: they cannot be; names the field.
  """
  if len(configs) == 1:
    return
  if jax.process_count() > 1:
    raise ValueError(
      f"runs trained together must have one process, got {jax.process_count()}"
    )
  first, *others = (records.flat(config_lib.shared(c)) for c in configs)
  for other in others:
    for name in {**first, **other}:
      if first.get(name) != other.get(name):
        raise ValueError(
          "runs trained together must agree on all but seed and K, got "
          f"config.{name} = {first.get(name)!r} and {other.get(name)!r}"
        )


def train(
  experiment: Experiment,
  workdir: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
  initial: TrainState | None = None,
  *,
  steps_per_call: int | None = None,
  signals: processes.Signals | None = None,
  step: devices_lib.Step = train_step,
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
      not stop between them; by default as `Devices.steps_per_call` says.
    signals: what tells the run to stop; SIGTERM, SIGINT and SIGHUP by default.
    step: what takes a step; `train_step` by default.

  Returns:
    The evaluation on the test set after the last step; with config.patience
    that of the best checkpoint.

  Raises:
    InUseError: another run is at work in the workdir.
    CheckpointError: there are checkpoints and none can be read.
    StorageError: the workdir does not take what is to be kept.
    FloatingPointError: a loss that is not finite; names the step and the term.
      The state before that step has been saved.
    Stopped: one of these signals came; the state has been saved.
    PeerLost: another process of the run has ended.
  """
  (result,) = train_together(
    [Start(experiment, workdir, initial)],
    devices,
    steps_per_call=steps_per_call,
    signals=signals,
    step=step,
  )
  return result


def train_together(
  starts: Sequence[Start],
  devices: Sequence[jax.Device] | None = None,
  *,
  steps_per_call: int | None = None,
  signals: processes.Signals | None = None,
  step: devices_lib.Step = train_step,
) -> list[Evaluation]:
  """`train` of several runs, whose steps are taken in one program.

  Each workdir takes what `train` would leave there, up to the rounding of the
  numbers, and either continues what the other has begun. Runs that are behind
  the others catch up first. `seconds` of a run's metrics are its share of the
  time.

  Args:
    starts: the runs, alike but for seed and K (`check_together`).
    devices: as for `train`, and so on.
    steps_per_call: as for `train`.
    signals: as for `train`.
    step: as for `train`.

  Returns:
    The evaluation of each run.

  Raises:
    ValueError: the runs cannot be trained in one program.
    FloatingPointError: as `train`, once the other runs have come to their end;
      names the run.
    InUseError, CheckpointError, StorageError, Stopped, PeerLost: as `train`.
  """
  first = starts[0].experiment
  check_together([start.experiment.config for start in starts])
  on_devices = devices_lib.Devices(
    jax.devices() if devices is None else devices, step, first.model
  )
  per_call = on_devices.steps_per_call(steps_per_call, first.config.log_every)
  names = _names([start.workdir for start in starts])
  with _explained(starts[0].workdir), contextlib.ExitStack() as stack:
    signals = stack.enter_context(signals or processes.Signals())
    runs = []
    for start, name in zip(starts, names, strict=True):
      with _explained(start.workdir):
        _hold(start, stack)
        runs.append(Run(start, name, on_devices, stack))
    return _Together(runs, on_devices, per_call, signals).to_end()


def _hold(start: Start, stack: contextlib.ExitStack) -> None:
  """Holds the workdir of a run, with what belongs there."""
  config, spec = start.experiment.config, start.experiment.spec
  processes.on_primary(
    # Again, since another run may have replaced the config in between.
    lambda: stack.enter_context(records.held(start.workdir, config, spec)),
    InUseError,
  )


def _names(workdirs: Sequence[pathlib.Path]) -> list[str]:
  """What tells the runs from each other, '' where there is one alone."""
  if len(workdirs) == 1:
    return [""]
  shared = os.path.commonpath([path.absolute() for path in workdirs])
  return [os.path.relpath(path.absolute(), shared) for path in workdirs]


@contextlib.contextmanager
def _explained(workdir: pathlib.Path) -> Iterator[None]:
  """Raises PeerLost or StorageError where that is what an error means."""
  try:
    yield
  except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:
    _explain(error, workdir)
    raise


def _explain(error: Exception, workdir: pathlib.Path) -> None:
  if processes.is_peer_lost(error):
    step = max(complete_steps(workdir), default=0)
    raise processes.peer_lost(
      error, f"they continue from step {step}"
    ) from error
  why = refusal(error)
  if why is not None:
    raise unwritable(
      workdir,
      why,
      "The run is kept up to step "
      f"{max(complete_steps(workdir), default=0)}; once that is put right, the "
      "same command continues it.",
    ) from error


class _Together:
  """One call of `train_together`.

  Between two stops the host only sends steps off, those of all runs at once.
  At a stop each run looks at its numbers and writes what is due.
  """

  def __init__(
    self,
    runs: Sequence[Run],
    devices: devices_lib.Devices,
    steps_per_call: int,
    signals: processes.Signals,
  ):
    self.runs = runs
    self.devices = devices
    self.steps_per_call = steps_per_call
    self.signals = signals
    self.total, self.timetable = runs[0].total, runs[0].timetable
    self.calls = 0
    self.failures: dict[Run, str] = {}

  def to_end(self) -> list[Evaluation]:
    """Runs the phases that are left and reports."""
    first = min(run.step for run in self.runs)
    with progress.Bar(self.total, first, self.timetable.log_every) as self.bar:
      for run in self.runs:
        run.bar = self.bar
      while going := [run for run in self.runs if self._goes_on(run)]:
        step = min(run.step for run in going)
        ahead = [run.step for run in going if run.step > step]
        hindmost = [run for run in going if run.step == step]
        self._run_phase(hindmost, min(ahead, default=self.total))
    whole = [run for run in self.runs if run not in self.failures]
    for run in whole:
      with _explained(run.workdir):
        run.checkpoints.wait()
    self.signals.release()  # there is nothing left to save
    if whole and self.signals.name is not None:
      self._stop(whole[0].step)
    results = []
    for run in whole:
      with _explained(run.workdir):
        results.append(run.end())
    if self.failures:
      raise FloatingPointError(" ".join(self.failures.values()))
    return results

  def _goes_on(self, run: Run) -> bool:
    return not run.is_over and run not in self.failures

  def _run_phase(self, runs: Sequence[Run], until: int) -> None:
    """Takes steps to the end of a phase, unless a run leaves or joins first.

    Args:
      runs: at one step.
      until: the step at which others wait.
    """
    for run in runs:
      run.enter()
    # That of the largest K; how many components a run has, its state says.
    phase = max((run.phase for run in runs), key=lambda p: p.prior.factors)
    self.bar.describe(phase.name)
    replicated = self.devices.replicate([run.saved.state for run in runs])
    while runs[0].step < min(until, phase.end) and (
      all(map(self._goes_on, runs))
    ):
      stop = min(until, self.timetable.next(runs[0].step, phase.end))
      stretch = self._advance(phase, runs, stop, replicated)
      replicated = stretch.replicated
      self._look(stretch, runs)

  def _advance(
    self, phase: Phase, runs: Sequence[Run], stop: int, replicated: Any
  ) -> Stretch:
    """Sends steps off, up to `stop` or until a signal asks to stop."""
    first = step = runs[0].step
    infos: list[Any] = []
    stopping, clock = False, time.perf_counter()
    while step < stop and not stopping:
      num = self.steps_per_call
      with self._compiling():
        if 1 < num <= stop - step:
          batches = [_read(runs) for _ in range(num)]
          replicated, info = self.devices.take_steps(phase, replicated, batches)
        else:
          num = 1
          batch = _read(runs)
          replicated, info = self.devices.take_step(phase, replicated, batch)
      infos.append(info)
      step += num
      self.calls += 1
      stopping = self.signals.ask_to_stop(self.calls) and step < self.total
    jax.block_until_ready(infos[-1])
    seconds = time.perf_counter() - clock
    return Stretch(
      phase, step - first, infos, replicated, stopping, seconds, len(runs)
    )

  def _compiling(self) -> contextlib.AbstractContextManager[None]:
    """For a call of a step: before the first no step is there to be saved."""
    if self.calls == 0 and jax.process_count() == 1:
      return host.nothing_to_lose()
    return contextlib.nullcontext()

  def _look(self, stretch: Stretch, runs: Sequence[Run]) -> None:
    """Has each run look at a stretch and do what is due."""
    like = [run.saved.state for run in runs]
    states = devices_lib.first(stretch.replicated, like)
    infos = devices_lib.to_host(stretch.infos, len(runs))
    for run, state, of_run in zip(runs, states, infos, strict=True):
      with _explained(run.workdir):
        try:
          run.take(stretch, state, of_run)
        except FloatingPointError as error:
          self._leave_out(run, error)
    runs = [run for run in runs if run not in self.failures]
    if not runs:
      return
    due = self.timetable.after(runs[0].step, stretch.phase.end)
    if due:
      rows = []
      for run in runs:
        with _explained(run.workdir):
          rows.append(run.log(stretch))
      means = {k: float(np.mean([row[k] for row in rows])) for k in rows[0]}
      self.bar.show(runs[0].step, means)
    for run in runs:
      with _explained(run.workdir):
        run.keep(stretch, due)
    if stretch.stopping:
      self._stop(runs[0].step)

  def _leave_out(self, run: Run, error: FloatingPointError) -> None:
    """Has the others go on without a run."""
    self.failures[run] = str(error)
    if len(self.runs) > 1:
      self.bar.say(str(error))

  def _stop(self, step: int) -> NoReturn:
    raise processes.Stopped(
      f"stopped by {self.signals.name} after step {step} of {self.total}, "
      "which is saved; the same command continues."
    )


def _read(runs: Sequence[Run]) -> list[data.Batch]:
  """The next batch of each."""
  return [next(run.feed) for run in runs]
