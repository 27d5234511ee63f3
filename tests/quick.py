"""For XLA_FLAGS: compile quickly; a test runs its code for a moment only."""

XLA_FLAGS = (
  "--xla_backend_optimization_level=0"
  " --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE"
)
