"""Likelihoods p(x|z) of an image, given the raw outputs of a decoder.

`raw` is `[..., H, W, channels(C)]` and `x` `[..., H, W, C]`, their leading axes
broadcast. Everything is finite, gradients too, for any raw value whose result
float32 can hold.

A likelihood is a value with the members of `Likelihood`, and may be a user's
own: `config.likelihood = "my_module:Laplace"` names a class or a function that
returns one when it is called without arguments. Its numbers are functions of
what the decoder returns; it has no params. To add one to this package: a file
with a frozen dataclass that has these members, and its line in `_LIKELIHOODS`.
"""

from fmvae import importing
from fmvae.likelihoods.bernoulli import Bernoulli
from fmvae.likelihoods.free_gaussian import FreeGaussian
from fmvae.likelihoods.gaussian import Gaussian
from fmvae.likelihoods.negative_binomial import NegativeBinomial
from fmvae.likelihoods.record import Likelihood, check_methods, checked

__all__ = [
  "Bernoulli",
  "FreeGaussian",
  "Gaussian",
  "Likelihood",
  "NegativeBinomial",
  "check",
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

  'bernoulli', 'gaussian', 'free_gaussian' or 'negative_binomial', or
  'module:Class' of a user's own.

  Raises:
    ValueError: if there is none, or it lacks a member of the protocol.
  """
  if importing.is_object(name):
    own: Likelihood = importing.make("likelihood", name, checked)
    return own
  if not isinstance(name, str) or name not in _LIKELIHOODS:
    raise ValueError(
      f"likelihood must be one of {list(_LIKELIHOODS)} or 'module:Class' of "
      f"your own, got {name!r}"
    )
  return _LIKELIHOODS[name]


def check(name: str, image_shape: tuple[int, ...]) -> None:
  """Raises ValueError where a user's own likelihood is none for such images.

  Args:
    name: as of `get`.
    image_shape: `(H, W, C)`.
  """
  if importing.is_object(name):
    try:
      check_methods(get(name), image_shape)
    except ValueError as error:
      raise ValueError(f"likelihood = {name!r}: {error}") from error
