"""Ways to start a mixture that the studies compare."""

import dataclasses

import jax

from fmvae import prior


def start(name, key, k, loc, log_var):
  """A start of one factor; all but the means are those of `prior.init`."""
  points_key, init_key = jax.random.split(key)
  chosen = jax.random.choice(points_key, len(loc), (10_000,), replace=False)
  loc, log_var, num_data = loc[chosen], log_var[chosen], len(loc)
  state = prior.init(
    init_key,
    [(loc.shape[1], k)],
    loc=loc,
    log_var=log_var,
    num_data=num_data,
  )
  means = {
    "k-means": lambda shape: state.factors[0].m,
    "random points": lambda shape: loc[:k],
    "0.1 N(0, 1)": lambda shape: 0.1 * jax.random.normal(init_key, shape),
    "N(0, 1)": lambda shape: jax.random.normal(init_key, shape),
  }[name]((k, loc.shape[1]))
  return prior.from_mean_params(
    [dataclasses.replace(state.factors[0], m=means)]
  )
