"""Likelihoods p(x|z) of an image, given the raw outputs of a decoder.

`raw` is `[..., H, W, channels(C)]` and `x` `[..., H, W, C]`, their leading axes
broadcast. Everything is finite, gradients too, for any raw value whose result
float32 can hold.

To add one: a file with a frozen dataclass that has the members of `Likelihood`,
and its line in `_LIKELIHOODS`.
"""

from fmvae.likelihoods.bernoulli import Bernoulli
from fmvae.likelihoods.free_gaussian import FreeGaussian
from fmvae.likelihoods.gaussian import Gaussian
from fmvae.likelihoods.negative_binomial import NegativeBinomial
from fmvae.likelihoods.record import Likelihood

__all__ = [
  "Bernoulli",
  "FreeGaussian",
  "Gaussian",
  "Likelihood",
  "NegativeBinomial",
  "get",
]

_LIKELIHOODS: dict[str, Likelihood] = {
  "bernoulli": Bernoulli(),
  "gaussian": Gaussian(),
  "free_gaussian": FreeGaussian(),
  "negative_binomial": NegativeBinomial(),
}


def get(name: str) -> Likelihood:
  """Returns the likelihood of that name.

  'bernoulli', 'gaussian', 'free_gaussian' or 'negative_binomial'.

  Raises:
    ValueError: if there is none.
  """
  if not isinstance(name, str) or name not in _LIKELIHOODS:
    raise ValueError(
      f"likelihood must be one of {list(_LIKELIHOODS)}, got {name!r}"
    )
  return _LIKELIHOODS[name]
