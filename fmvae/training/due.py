"""What is due after which step."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Due:
  """What is to be done after a step; false where nothing is."""

  log: bool
  evaluate: bool
  save: bool

  def __bool__(self) -> bool:
    return self.log or self.evaluate or self.save


@dataclasses.dataclass(frozen=True)
class Timetable:
  """How often each thing is due; all three are at the end of a phase.

  Unless an evaluation is due at the end of the run alone.
  """

  log_every: int
  evaluate_every: int | None  # 0: at the end of a phase, None: of the run
  save_every: int
  total: int  # steps of the run

  def after(self, step: int, end: int) -> Due:
    """What is due after a step of the phase that ends at `end`."""

    def is_due(every: int) -> bool:
      return step == end or (every > 0 and step % every == 0)

    return Due(
      log=is_due(self.log_every),
      evaluate=step == self.total
      if self.evaluate_every is None
      else is_due(self.evaluate_every),
      save=is_due(self.save_every),
    )

  def next(self, step: int, end: int) -> int:
    """The first step after `step` at which something is due."""
    periods = (self.log_every, self.evaluate_every, self.save_every)
    return min(end, *(step + n - step % n for n in periods if n))
