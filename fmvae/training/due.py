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
  """How often each thing is due; all three are at the end of a phase."""

  log_every: int
  evaluate_every: int  # 0: at the end of a phase alone
  save_every: int

  def after(self, step: int, end: int) -> Due:
    """What is due after a step of the phase that ends at `end`."""
    return Due(
      *(
        step == end or (every > 0 and step % every == 0)
        for every in (self.log_every, self.evaluate_every, self.save_every)
      )
    )

  def next(self, step: int, end: int) -> int:
    """The first step after `step` at which something is due."""
    periods = (self.log_every, self.evaluate_every, self.save_every)
    return min(end, *(step + n - step % n for n in periods if n > 0))
