"""What a person sees while a run trains."""

from collections.abc import Mapping

import tqdm

from fmvae.training import processes

_CLOCK = ("seconds", "steps_per_second")  # the bar has its own


class Bar:
  """A bar on a terminal, a line now and then elsewhere; a context manager."""

  def __init__(self, total: int, step: int, log_every: int):
    """Shows nothing yet.

    Args:
      total: steps of the run.
      step: at which it stands.
      log_every: steps between two calls of `show`; where there is no terminal
        every tenth gives a line.
    """
    self._total, self._step, self._line_every = total, step, 10 * log_every
    self._phase = ""
    self._bar = tqdm.tqdm(
      total=total,
      initial=step,
      unit="step",
      disable=None if processes.is_primary() else True,
      dynamic_ncols=True,
    )

  def __enter__(self) -> "Bar":
    return self

  def __exit__(self, *_) -> None:
    self._bar.close()

  def describe(self, phase: str) -> None:
    """Names the phase."""
    self._phase = phase
    self._bar.set_description(phase)

  def show(self, step: int, values: Mapping[str, float]) -> None:
    """Moves to a step and shows its row of metrics."""
    shown = {k: f"{v:.4g}" for k, v in values.items() if k not in _CLOCK}
    self._bar.update(step - self._step)
    self._step = step
    self._bar.set_postfix(shown, refresh=False)
    if self._bar.disable and step % self._line_every == 0:
      rate = values["steps_per_second"]
      print(
        f"{self._phase} {step}/{self._total}, {rate:.0f} steps/s,",
        f"{(self._total - step) / rate:.0f} s left:",
        ", ".join(f"{name} {value}" for name, value in shown.items()),
        flush=True,
      )

  def say(self, text: str) -> None:
    """Prints above the bar, on the first of several processes."""
    if processes.is_primary():
      with self._bar.external_write_mode():
        print(text, flush=True)
