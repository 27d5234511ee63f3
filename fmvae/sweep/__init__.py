"""Many runs of a few experiments: K by K, seed by seed, on any engine."""

from fmvae.sweep import engines, plan, table
from fmvae.sweep.run import run

__all__ = ["engines", "plan", "run", "table"]
