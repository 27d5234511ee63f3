"""First-order updates of factors that have no closed-form one (Sec. 2.5).

The cross entropy of eq. 8 is no expectation of the sufficient statistics, so a
factor that it reaches is updated by plain gradients in the mean parameters
(m, s, a, b, c). The positive ones move by a factor exp(step), which is a step
in their logarithms: they stay positive, and one step size serves s, a and c,
which grow with N, as well as m and b. A step of zero leaves every bit as it is.
"""

import jax.numpy as jnp

from fmvae.prior.state import MeanParams


def log_gradients(params: MeanParams, grads: MeanParams) -> MeanParams:
  """Gradients by (m, log s, log a, log b, log c) from those by (m, s, a, b, c).

  For the first-order updates of eq. 8.

  Args:
    params: one factor.
    grads: of a scalar, as `jax.grad` gives them for `params`.
  """
  return MeanParams(
    m=grads.m,
    s=params.s * grads.s,
    a=params.a * grads.a,
    b=params.b * grads.b,
    c=params.c * grads.c,
  )


def apply_log_updates(params: MeanParams, updates: MeanParams) -> MeanParams:
  """Adds `updates` to (m, log s, log a, log b, log c).

  Args:
    params: one factor.
    updates: what an optimiser makes of `log_gradients`, of the same shapes.

  Returns:
    The factor, its s, a, b and c positive.
  """
  return MeanParams(
    m=params.m + updates.m,
    s=params.s * jnp.exp(updates.s),
    a=params.a * jnp.exp(updates.a),
    b=params.b * jnp.exp(updates.b),
    c=params.c * jnp.exp(updates.c),
  )
