"""The factorial mixture prior: a pure JAX component that needs jax alone.

A latent vector z of L dimensions is cut into factors; factor i has D_i
dimensions under a Gaussian mixture of K_i components, whose parameters have a
Normal-Gamma and Dirichlet posterior. Start with `init`, take responsibilities
and costs for a batch of encodings, and follow with `svi_update`:

  state = prior.init(key, [(64, 128)], loc=loc, log_var=log_var, num_data=n)
  resp = prior.responsibilities(state, loc, log_var)
  cost = prior.kl_z(state, loc, log_var, resp) + prior.kl_r(state, resp)
  state = prior.svi_update(state, loc, log_var, num_data=n, step_size=0.01)

`fit` does all this for points that are known exactly, as a density of them.
Wherever `log_var` may be None the points are exact, as they are where it is
-inf; `kl_z` is infinite there, and says what it means without one.

Encodings in float16 or bfloat16 are computed with in float32. Equation numbers
are those of Paquet, Ghaisas and Tieleman (2018).
"""

from fmvae.prior.first_order import apply_log_updates, log_gradients
from fmvae.prior.fitting import Fit, fit
from fmvae.prior.normal_gamma import NaturalParams
from fmvae.prior.responsibilities import (
  codes,
  component_logits,
  kl_r,
  kl_z,
  label_log_prob,
  responsibilities,
)
from fmvae.prior.sampling import log_prob, sample
from fmvae.prior.state import (
  Hyperprior,
  MeanParams,
  PriorState,
  Units,
  Usage,
  from_mean_params,
  init,
  kl_global,
  mean_params,
  usage,
)
from fmvae.prior.svi import robbins_monro, svi_update

__all__ = [
  "Fit",
  "Hyperprior",
  "MeanParams",
  "NaturalParams",
  "PriorState",
  "Units",
  "Usage",
  "apply_log_updates",
  "codes",
  "component_logits",
  "fit",
  "from_mean_params",
  "init",
  "kl_global",
  "kl_r",
  "kl_z",
  "label_log_prob",
  "log_gradients",
  "log_prob",
  "mean_params",
  "responsibilities",
  "robbins_monro",
  "sample",
  "svi_update",
  "usage",
]
