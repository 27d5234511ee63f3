"""Likelihoods p(x|z) of an image, given the raw outputs of a decoder.

`raw` is `[..., H, W, channels(C)]` and `x` `[..., H, W, C]`, their leading axes
broadcast. Everything is finite, gradients too, for any raw value whose result
float32 can hold.

To add one: a file with a frozen dataclass that has the members of `Likelihood`,
and its line in `_LIKELIHOODS`.
"""

from fmvae.likelihoods.bernoulli import Bernoulli
from fmvae.likelihoods.gaussian import Gaussian
from fmvae.likelihoods.record import Likelihood

__all__ = ["Bernoulli", "Gaussian", "Likelihood", "get"]

_LIKELIHOODS: dict[str, Likelihood] = {
  "bernoulli": Bernoulli(),
  "gaussian": Gaussian(),
}


def get(name: str) -> Likelihood:
  """Returns the likelihood of that name, 'bernoulli' or 'gaussian'.

  Raises:
    ValueError: if there is none.
  """
  if not isinstance(name, str) or name not in _LIKELIHOODS:
    raise ValueError(
      f"likelihood must be one of {list(_LIKELIHOODS)}, got {name!r}"
    )
  return _LIKELIHOODS[name]
