"""The training loop: advance, check, log, evaluate, save."""

import contextlib
import dataclasses
import hashlib
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from absl import logging

from fmvae import data
from fmvae import experiment as experiment_lib
from fmvae.evaluation import Evaluation, evaluate, examine
from fmvae.experiment import Experiment
from fmvae.model import (
  Model,
  Phase,
  TrainState,
  init_prior,
  model_at,
  train_step,
)
from fmvae.storage import InUseError, refusal, unwritable
from fmvae.training import devices as devices_lib
from fmvae.training import finite, host, processes, progress, records
from fmvae.training.checkpoints import Checkpoints, Saved, complete_steps
from fmvae.training.due import Timetable
from fmvae.training.report import report

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
  all_devices = jax.devices() if devices is None else devices
  on_devices = devices_lib.Devices(all_devices, step, experiment.model)
  per_call = on_devices.steps_per_call(
    steps_per_call, experiment.config.log_every
  )
  try:
    with contextlib.ExitStack() as stack:
      signals = stack.enter_context(signals or processes.Signals())
      processes.on_primary(
        # Again, since another run may have replaced the config in between.
        lambda: stack.enter_context(
          records.held(workdir, experiment.config, experiment.spec)
        ),
        InUseError,
      )
      run = _Run(experiment, workdir, on_devices, per_call, signals, stack)
      return run.to_end(initial)
  except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:
    _explain(error, workdir)
    raise


def _explain(error: Exception, workdir: pathlib.Path) -> None:
  """Raises PeerLost or StorageError where that is what an error means."""
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


@dataclasses.dataclass(frozen=True)
class _Stretch:
  """The steps from one stop of the host to the next, not looked at yet."""

  phase: Phase
  infos: list[Any]  # of each call
  replicated: Any  # the state after them, on the devices
  stopping: bool  # a signal asks for it
  seconds: float


class _Run:
  """One call of `train`.

  Between two stops the host only sends steps off. At a stop it looks at their
  numbers, writes what is due and remembers where the run is: `saved`.
  """

  def __init__(
    self,
    experiment: Experiment,
    workdir: pathlib.Path,
    devices: devices_lib.Devices,
    steps_per_call: int,
    signals: processes.Signals,
    stack: contextlib.ExitStack,
  ):
    config = experiment.config
    self.experiment = experiment
    self.workdir = workdir
    self.devices = devices
    self.steps_per_call = steps_per_call
    self.signals = signals
    self.stack = stack
    self.total = experiment.phases[-1].end
    self.judge, self.judging = "test", experiment.test
    if experiment.validation:
      self.judge, self.judging = "validation", experiment.validation
    self.timetable = Timetable(
      config.log_every,
      config.evaluate_every,
      config.checkpoint_every,
      self.total,
    )
    self.calls = 0
    self.newest_result: tuple[int, Evaluation] | None = None
    self.feed = data.feed(
      lambda step: devices.read_batch(experiment, step),
      self.total,
      prefetch=not config.dataset.in_memory,
    )
    self.checkpoints = stack.enter_context(
      Checkpoints(workdir, config.keep_checkpoints, config)
    )

  def to_end(self, initial: TrainState | None) -> Evaluation:
    """Runs the phases that are left and reports."""
    saved = self._begin(initial)
    step = int(saved.state.step)
    with progress.Bar(self.total, step, self.timetable.log_every) as self.bar:
      for phase in self.experiment.phases:
        if int(saved.state.step) < phase.end:
          saved = self._run_phase(phase, saved)
    return self._end(self._result(saved))

  def _begin(self, initial: TrainState | None) -> Saved:
    """Where the run stands; opens its records."""
    if self.checkpoints.steps():
      like = jax.eval_shape(lambda: experiment_lib.init(self.experiment))
      saved = self.checkpoints.restore(like)
      print(f"Continuing from step {saved.state.step}.", flush=True)
    else:
      new = experiment_lib.init(self.experiment) if initial is None else initial
      saved = Saved(new)
    step = int(saved.state.step)
    if not saved.position:  # nothing has been read yet
      saved = dataclasses.replace(saved, position={"next_index": step})
    self.feed.set_state(saved.position)
    if processes.is_primary():
      records.write_start(self.workdir, self.experiment.config.seed, step)
    self.metrics = self.stack.enter_context(
      records.Metrics(self.workdir, saved.rows, step)
      if processes.is_primary()
      else records.Rows(saved.rows)
    )
    return saved

  def _run_phase(self, phase: Phase, saved: Saved) -> Saved:
    """Runs a phase from where the run stands to its end."""
    state = saved.state
    if phase.init_encodings and int(state.step) == phase.start:
      images = self.experiment.train.images
      state = init_prior(self._model_of(state), phase, state, images)
      saved = dataclasses.replace(saved, state=state)
    self.bar.describe(phase.name)
    replicated = self.devices.replicate(state)
    while (step := int(saved.state.step)) < phase.end and not (
      self._is_exhausted(phase)
    ):
      stretch = self._advance(phase, step, replicated)
      replicated = stretch.replicated
      state, infos = self._check(stretch, saved)
      due = self.timetable.after(int(state.step), phase.end)
      pending = [*saved.pending, *infos]
      if due:
        self._log(stretch, state, pending, len(infos))
        pending = []
      if due.evaluate:
        self._evaluate(phase, state)
      saved = Saved(
        state,
        phase.name,
        list(self.metrics.rows),
        pending,
        self.feed.get_state(),
      )
      self._save(saved, due.evaluate or due.save, stretch.stopping)
    return saved

  def _is_exhausted(self, phase: Phase) -> bool:
    """Whether config.patience ends the run here, in its last phase."""
    patience = self.experiment.config.patience
    return phase.end == self.total and records.is_exhausted(
      self.metrics.rows, phase.start, patience
    )

  def _advance(self, phase: Phase, step: int, replicated: Any) -> _Stretch:
    """Sends steps off until something is due or a signal asks to stop."""
    stop = self.timetable.next(step, phase.end)
    infos: list[Any] = []
    stopping, clock = False, time.perf_counter()
    while step < stop and not stopping:
      num = self.steps_per_call
      with self._compiling():
        if 1 < num <= stop - step:
          batches = [next(self.feed) for _ in range(num)]
          replicated, info = self.devices.take_steps(phase, replicated, batches)
        else:
          num = 1
          batch = next(self.feed)
          replicated, info = self.devices.take_step(phase, replicated, batch)
      infos.append(info)
      step += num
      self.calls += 1
      stopping = self.signals.ask_to_stop(self.calls) and step < self.total
    jax.block_until_ready(infos[-1])
    seconds = time.perf_counter() - clock
    return _Stretch(phase, infos, replicated, stopping, seconds)

  def _compiling(self) -> contextlib.AbstractContextManager[None]:
    """For a call of a step: before the first no step is there to be saved."""
    if self.calls == 0 and jax.process_count() == 1:
      return host.nothing_to_lose()
    return contextlib.nullcontext()

  def _check(
    self, stretch: _Stretch, saved: Saved
  ) -> tuple[TrainState, list[finite.Info]]:
    """The state after a stretch and the numbers of its steps, all finite."""
    state = devices_lib.first(stretch.replicated)
    infos = devices_lib.to_host(stretch.infos)
    if broken := finite.broken_terms(infos, state):
      self._fail(stretch.phase, saved, len(infos), broken)
    return state, infos

  def _log(
    self,
    stretch: _Stretch,
    state: TrainState,
    infos: Sequence[finite.Info],
    num: int,
  ) -> None:
    """A row of averages over the steps since the last one."""
    values = {
      name: float(np.mean([info[name] for info in infos])) for name in infos[0]
    }
    values |= {
      "seconds": stretch.seconds,
      "steps_per_second": num / stretch.seconds,
      **records.usage_scalars(self._model_of(state).usage(state)),
    }
    step = int(state.step)
    self.metrics.write(step, stretch.phase.name, "train", values)
    self.bar.show(step, values)

  def _evaluate(self, phase: Phase, state: TrainState) -> None:
    """A row of scores, which a person sees too."""
    step = int(state.step)
    result = self._score(state, self.judging)
    self.metrics.write(step, phase.name, self.judge, result.scalars())
    if self.judge == "test":
      self.newest_result = step, result
    if step < self.total or self.judge != "test":  # the last one is reported
      self.bar.say(f"step {step} ({phase.name}), {self.judge} set: {result}")

  def _should_have_groups(self) -> bool:
    """Whether a mixture had encodings to begin at, and time for all images.

    It begins with the networks where there is no pre-training by design, and a
    smoke run ends before it has seen the data.
    """
    if not self.experiment.config.steps.pretrain:
      return False
    starts = [p.start for p in self.experiment.phases if p.prior.factors]
    steps = self.total - min(starts, default=self.total)
    return self.experiment.has_seen_all(steps)

  def _score(self, state: TrainState, images: data.Split) -> Evaluation:
    num = len(self.experiment.train)
    return evaluate(self._model_of(state), state, images, num_data=num)

  def _model_of(self, state: TrainState) -> Model:
    """The model with the prior that is in effect."""
    experiment = self.experiment
    return model_at(experiment.model, experiment.phases, int(state.step))

  def _save(self, saved: Saved, due: bool, stopping: bool) -> None:
    """A checkpoint where one is due; the end where a signal asked for it."""
    if due or stopping:
      self.checkpoints.save(saved)
    if stopping:
      self._stop(saved.state)
    self.checkpoints.check_for_errors()

  def _stop(self, state: TrainState) -> NoReturn:
    raise processes.Stopped(
      f"stopped by {self.signals.name} after step {state.step} of "
      f"{self.total}, which is saved; the same command continues."
    )

  def _fail(
    self, phase: Phase, saved: Saved, num_steps: int, broken: list[str]
  ) -> NoReturn:
    """Finds the broken step of a stretch; saves the state before it."""
    self.feed.set_state(saved.position)
    replicated = self.devices.replicate(saved.state)

    def take_step() -> tuple[TrainState, finite.Info]:
      nonlocal replicated
      replicated, info = self.devices.take_step(
        phase, replicated, next(self.feed)
      )
      return devices_lib.first(replicated), devices_lib.to_host([info])[0]

    def keep(state: TrainState, info: finite.Info) -> None:
      nonlocal saved
      saved = dataclasses.replace(
        saved,
        state=state,
        phase=phase.name,
        pending=[*saved.pending, info],
        position=self.feed.get_state(),
      )

    broken = finite.replay(take_step, num_steps, keep) or broken
    self.checkpoints.save(saved)
    step = int(saved.state.step)
    raise FloatingPointError(
      f"step {step + 1}: {', '.join(broken)} not finite. The state of step "
      f"{step} is saved. Lower config.learning_rate, or raise "
      "config.kl_anneal_steps, in another --workdir."
    )

  def _result(self, saved: Saved) -> TrainState:
    """The last state, or with config.patience that of the best checkpoint."""
    last = int(saved.state.step)
    best = records.best_step(self.metrics.rows)
    if not self.experiment.config.patience or best is None:
      return saved.state
    if last < self.total:
      self.bar.say(
        f"ended after step {last}: no better bound on the {self.judge} images "
        f"since step {best}"
      )
    if best == last:
      return saved.state
    self.checkpoints.wait()
    like = jax.eval_shape(lambda: experiment_lib.init(self.experiment))
    return self.checkpoints.restore(like, best).state

  def _end(self, state: TrainState) -> Evaluation:
    """Reports on the result's state, once its checkpoint is there."""
    self.checkpoints.wait()
    self.signals.release()  # there is nothing left to save
    if self.signals.name is not None:
      self._stop(state)
    scored, result = self.newest_result or (-1, None)
    if result is None or scored != int(state.step):
      result = self._score(state, self.experiment.test)
    judged = records.bounds(self.metrics.rows)
    if processes.is_primary():
      model = self._model_of(state)
      diagnosis = examine(model, state, self.experiment.test)
      report(
        model,
        state,
        self.workdir,
        result,
        diagnosis,
        num_samples=1,
        total=self.total,
        result_step=int(state.step),
        validation_bound=judged.get(int(state.step))
        if self.judge == "validation"
        else None,
        has_seen_all=self.experiment.has_seen_all(self.total),
      )
      message = diagnosis.warning()
      if message and self._should_have_groups():
        logging.warning(message)
    return result
