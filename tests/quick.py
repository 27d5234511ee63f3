"""For XLA_FLAGS: compile quickly; a test runs its code for a moment only."""

import os

XLA_FLAGS = (
  "--xla_backend_optimization_level=0"
  " --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE"
)


def environment() -> dict[str, str]:
  """Of a program that a test starts, with a single device."""
  return os.environ | {"XLA_FLAGS": XLA_FLAGS}
