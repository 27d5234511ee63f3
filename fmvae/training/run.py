"""What belongs to one run while it trains: data, records and checkpoints."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from absl import logging

from fmvae import data
from fmvae import experiment as experiment_lib
from fmvae.evaluation import Evaluation, evaluate, examine
from fmvae.experiment import Experiment
from fmvae.model import Model, Phase, TrainState, init_prior, model_at
from fmvae.training import devices as devices_lib
from fmvae.training import finite, processes, progress, records
from fmvae.training.checkpoints import Checkpoints, Saved
from fmvae.training.due import Due, Timetable
from fmvae.training.report import report


@dataclasses.dataclass(frozen=True)
class Start:
  """A run that is to be trained."""

  experiment: Experiment
  workdir: pathlib.Path  # as `loop.prepare` left it
  # On one device, for where there is no checkpoint yet; None: a new one.
  initial: TrainState | None = None


@dataclasses.dataclass(frozen=True)
class Stretch:
  """The steps from one stop of the host to the next, not looked at yet."""

  phase: Phase
  num_steps: int
  infos: list[Any]  # of each call
  replicated: Any  # the states after them, on the devices
  stopping: bool  # a signal asks for it
  seconds: float
  num_runs: int  # that took them together


class Run:
  """A run whose steps are taken elsewhere: it looks at them and writes.

  `saved` is where it stands.
  """

  bar: progress.Bar

  def __init__(
    self,
    start: Start,
    name: str,
    devices: devices_lib.Devices,
    stack: contextlib.ExitStack,
  ):
    """Opens its data and checkpoints.

    Args:
      start: of the run.
      name: '' where it trains alone.
      devices: that take its steps.
      stack: closes what is opened.
    """
    experiment = start.experiment
    config = experiment.config
    self.experiment = experiment
    self.workdir = start.workdir
    self.name = name
    self.devices = devices
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
    self.newest_result: tuple[int, Evaluation] | None = None
    self.feed = data.feed(
      lambda step: devices.read_batch(experiment, step),
      self.total,
      prefetch=not config.dataset.in_memory,
    )
    self.checkpoints = stack.enter_context(
      Checkpoints(self.workdir, config.keep_checkpoints, config)
    )
    self._begin(start.initial)

  def _begin(self, initial: TrainState | None) -> None:
    """Finds where the run stands; opens its records."""
    if self.checkpoints.steps():
      like = jax.eval_shape(lambda: experiment_lib.init(self.experiment))
      saved = self.checkpoints.restore(like)
      print(
        self._named(f"Continuing from step {saved.state.step}."), flush=True
      )
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
    self.saved = saved

  def _named(self, text: str) -> str:
    return f"{self.name}: {text}" if self.name else text

  @property
  def step(self) -> int:
    """Steps that it has taken."""
    return int(self.saved.state.step)

  @property
  def phase(self) -> Phase:
    """That of its next step."""
    return next(p for p in self.experiment.phases if self.step < p.end)

  @property
  def is_over(self) -> bool:
    """Whether there is no next step, by design or by config.patience."""
    return self.step == self.total or (
      self.phase.end == self.total
      and records.is_exhausted(
        self.metrics.rows, self.phase.start, self.experiment.config.patience
      )
    )

  def enter(self) -> None:
    """Begins the phase of the next step, or goes on with it."""
    state, phase = self.saved.state, self.phase
    if phase.init_encodings and self.step == phase.start:
      images = self.experiment.train.images
      state = init_prior(self._model_of(state), phase, state, images)
      self.saved = dataclasses.replace(self.saved, state=state)

  def take(
    self, stretch: Stretch, state: TrainState, infos: Sequence[finite.Info]
  ) -> None:
    """Takes the state after a stretch and the numbers of its steps.

    Raises:
      FloatingPointError: they are not all finite; the state before the first
        step that is broken has been saved.
    """
    if broken := finite.broken_terms(infos, state):
      self._fail(len(infos), broken)
    self.saved = Saved(
      state,
      stretch.phase.name,
      self.saved.rows,
      [*self.saved.pending, *infos],
      self.feed.get_state(),
    )

  def log(self, stretch: Stretch) -> dict[str, float]:
    """A row of averages over the steps since the last one."""
    state, infos = self.saved.state, self.saved.pending
    values = {
      name: float(np.mean([info[name] for info in infos])) for name in infos[0]
    }
    values |= {
      "seconds": stretch.seconds / stretch.num_runs,
      "steps_per_second": stretch.num_steps / stretch.seconds,
      **records.usage_scalars(self._model_of(state).usage(state)),
    }
    self.metrics.write(self.step, stretch.phase.name, "train", values)
    self.saved = dataclasses.replace(self.saved, pending=[])
    return values

  def keep(self, stretch: Stretch, due: Due) -> None:
    """Evaluates and saves where that is due, or a signal asks to stop."""
    if due.evaluate:
      self._evaluate(stretch.phase)
    rows = list(self.metrics.rows)
    self.saved = dataclasses.replace(self.saved, rows=rows)
    if due.evaluate or due.save or stretch.stopping:
      self.checkpoints.save(self.saved)
    self.checkpoints.check_for_errors()

  def _evaluate(self, phase: Phase) -> None:
    """A row of scores, which a person sees too."""
    step, result = self.step, self._score(self.saved.state, self.judging)
    self.metrics.write(step, phase.name, self.judge, result.scalars())
    if self.judge == "test":
      self.newest_result = step, result
    if step < self.total or self.judge != "test":  # the last one is reported
      self._say(f"step {step} ({phase.name}), {self.judge} set: {result}")

  def _say(self, text: str) -> None:
    self.bar.say(self._named(text))

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

  def _fail(self, num_steps: int, broken: list[str]) -> NoReturn:
    """Finds the broken step of a stretch; saves the state before it."""
    phase = self.phase
    self.feed.set_state(self.saved.position)
    replicated = self.devices.replicate([self.saved.state])

    def take_step() -> tuple[TrainState, finite.Info]:
      nonlocal replicated
      replicated, info = self.devices.take_step(
        phase, replicated, [next(self.feed)]
      )
      (state,) = devices_lib.first(replicated, [self.saved.state])
      ((info,),) = devices_lib.to_host([info], 1)
      return state, info

    def keep(state: TrainState, info: finite.Info) -> None:
      self.saved = dataclasses.replace(
        self.saved,
        state=state,
        phase=phase.name,
        pending=[*self.saved.pending, info],
        position=self.feed.get_state(),
      )

    broken = finite.replay(take_step, num_steps, keep) or broken
    self.checkpoints.save(self.saved)
    what = f"step {self.step + 1}: {', '.join(broken)} not finite. The state"
    raise FloatingPointError(
      f"{self._named(what)} of step {self.step} is saved. Lower "
      "config.learning_rate, or raise config.kl_anneal_steps, in another "
      "--workdir."
    )

  def _result(self) -> TrainState:
    """The last state, or with config.patience that of the best checkpoint."""
    best = records.best_step(self.metrics.rows)
    if not self.experiment.config.patience or best is None:
      return self.saved.state
    if self.step < self.total:
      self._say(
        f"ended after step {self.step}: no better bound on the {self.judge} "
        f"images since step {best}"
      )
    if best == self.step:
      return self.saved.state
    like = jax.eval_shape(lambda: experiment_lib.init(self.experiment))
    return self.checkpoints.restore(like, best).state

  def end(self) -> Evaluation:
    """Reports on the result's state, whose checkpoint is there by now."""
    state = self._result()
    scored, result = self.newest_result or (-1, None)
    if result is None or scored != int(state.step):
      result = self._score(state, self.experiment.test)
    judged = records.bounds(self.metrics.rows)
    if processes.is_primary():
      if self.name:
        print(f"{self.name}:")
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
