"""Numbers with a Gaussian each, of any scale."""

import dataclasses

import jax

from fmvae.likelihoods.gaussian import Gaussian

_MIN_STD = 0.01


@dataclasses.dataclass(frozen=True)
class FreeGaussian(Gaussian):
  """Independent Gaussians whose standard deviations have no upper bound.

  As `Gaussian`, but the last C channels of `raw` give the standard deviations
  by 0.01 + softplus: of features of variance one, no density exceeds that of a
  hundredth of their spread, so that a constant feature does not rule the bound.
  """

  def std(self, raw: jax.Array) -> jax.Array:
    """Returns the standard deviation of x given z, `[..., H, W, C]`."""
    return _MIN_STD + jax.nn.softplus(raw[..., raw.shape[-1] // 2 :])
