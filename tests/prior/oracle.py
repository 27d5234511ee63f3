"""The prior's formulas in float64 NumPy and SciPy, for tests alone.

Wherever there is a choice the formula here is not the one of the paper: the
expectations go through the four expected statistics of the Normal-Gamma, the
divergences through its log normaliser (a Bregman divergence), the updates
through the natural parameters, and the densities through `scipy.stats`.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats


class Hyper(NamedTuple):
  m0: float = 0.0
  s0: float = 1.0
  a0: float = 0.01
  b0: float = 0.01
  c0: float = 1.0


class Params(NamedTuple):
  m: np.ndarray  # [K, D]
  s: np.ndarray  # [K, D]
  a: np.ndarray  # [K, D]
  b: np.ndarray  # [K, D]
  c: np.ndarray  # [K]


def random_params(rng, dim, num_components, scale=2.0):
  """Components that overlap, with few to many points each."""
  shape = (num_components, dim)
  a = rng.uniform(0.6, 30.0, shape)
  return Params(
    m=scale * rng.normal(size=shape),
    s=rng.uniform(0.5, 40.0, shape),
    a=a,
    b=a * rng.uniform(0.3, 3.0, shape),
    c=rng.uniform(0.5, 40.0, num_components),
  )


def prior_params(hyper, dim, num_components):
  """The hyperprior itself, as the parameters of a factor."""
  full = [np.full((num_components, dim), value) for value in hyper[:4]]
  return Params(*full, np.full(num_components, hyper.c0))


def random_data(rng, num, dim, scale=2.0):
  loc = scale * rng.normal(size=(num, dim))
  return loc, rng.uniform(-3.0, 1.0, (num, dim))


def split(x, factors):
  """Cuts the last axis of x into the blocks of the factors."""
  sizes = [p.m.shape[-1] for p in factors]
  return np.split(np.asarray(x, np.float64), np.cumsum(sizes)[:-1], axis=-1)


def natural(m, s, a, b):
  return np.stack([a - 0.5, -(b + s * m**2 / 2), s * m, -s / 2])


def from_natural(lambdas):
  s = -2 * lambdas[3]
  m = lambdas[2] / s
  return m, s, lambdas[0] + 0.5, -lambdas[1] - s * m**2 / 2


def expected_statistics(p):
  """E[log alpha], E[alpha], E[alpha mu], E[alpha mu^2], each [K, D]."""
  mean = p.a / p.b
  return np.stack(
    [
      special.digamma(p.a) - np.log(p.b),
      mean,
      p.m * mean,
      1 / p.s + p.m**2 * mean,
    ]
  )


def log_normaliser(m, s, a, b):
  del m  # appears only through b = -lambda2 - s m^2 / 2
  return special.gammaln(a) - a * np.log(b) + 0.5 * np.log(2 * np.pi / s)


def kl_normal_gamma(p, hyper):
  q, prior = natural(*p[:4]), natural(*prior_params(hyper, 1, 1)[:4])
  linear = np.sum((q - prior) * expected_statistics(p), axis=0)
  prior_normaliser = log_normaliser(*hyper[:4])
  return np.sum(linear - log_normaliser(*p[:4]) + prior_normaliser)


def kl_dirichlet(p, hyper):
  c0 = np.full_like(p.c, hyper.c0)

  def log_beta(c):
    return np.sum(special.gammaln(c)) - special.gammaln(np.sum(c))

  linear = np.sum((p.c - c0) * expected_log_share(p))
  return linear - log_beta(p.c) + log_beta(c0)


def kl_dirichlet_slope(c, c0):
  """Gradient by c: the Hessian of the log normaliser times c - c0."""
  beyond = c - c0
  curvature = special.polygamma(1, c), special.polygamma(1, np.sum(c))
  return beyond * curvature[0] - np.sum(beyond) * curvature[1]


def kl_dirichlet_by_path(c, c0):
  """The divergence as the integral of its slope from c0 to c.

  No terms of size c log c cancel here. The slope varies where the path leaves
  c0, hence the logarithm of the path's parameter t.
  """
  nodes, weights = np.polynomial.legendre.leggauss(20)
  log_t = np.linspace(-40, 0, 61)
  half = (log_t[1] - log_t[0]) / 2
  total = 0.0
  for start in log_t[:-1]:
    t = np.exp(start + half * (nodes + 1))
    slopes = [kl_dirichlet_slope(c0 + u * (c - c0), c0) for u in t]
    total += half * np.sum(weights * t * (slopes @ (c - c0)))
  return total


def kl_global(factors, hyper):
  return np.array(
    [kl_normal_gamma(p, hyper) + kl_dirichlet(p, hyper) for p in factors]
  )


def expected_log_share(p):
  return special.digamma(p.c) - special.digamma(np.sum(p.c))


def expected_log_normal(p, loc, log_var):
  """E_q(z) E_q(mu, alpha) log N(z; mu, 1 / alpha), [..., K]."""
  log_alpha, alpha, alpha_mu, alpha_mu2 = expected_statistics(p)
  loc, var = loc[..., None, :], np.exp(log_var)[..., None, :]
  square = alpha * (loc**2 + var) - 2 * loc * alpha_mu + alpha_mu2
  return 0.5 * np.sum(log_alpha - np.log(2 * np.pi) - square, axis=-1)


def component_logits(factors, loc, log_var):
  blocks = zip(split(loc, factors), split(log_var, factors), strict=True)
  return [
    expected_log_normal(p, *block) + expected_log_share(p)
    for p, block in zip(factors, blocks, strict=True)
  ]


def responsibilities(factors, loc, log_var, labels=None):
  logits = component_logits(factors, loc, log_var)
  resp = [special.softmax(x, axis=-1) for x in logits]
  if labels is None:
    return resp
  return [
    np.where(
      labels[..., i, None] >= 0,
      labels[..., i, None] == np.arange(r.shape[-1]),
      r,
    )
    for i, r in enumerate(resp)
  ]


def kl_z(factors, loc, log_var, resp):
  """E_q(r) E_q(xi) KL(q(z|x) || p(z|r, xi)), [..., I]."""
  out = []
  blocks = zip(split(loc, factors), split(log_var, factors), strict=True)
  for p, block, r in zip(factors, blocks, resp, strict=True):
    entropy = 0.5 * np.sum(np.log(2 * np.pi * np.e) + block[1], axis=-1)
    out.append(np.sum(r * expected_log_normal(p, *block), axis=-1) + entropy)
  return -np.stack(out, axis=-1)


def kl_r(factors, resp):
  return np.stack(
    [
      np.sum(special.xlogy(r, r) - r * expected_log_share(p), axis=-1)
      for p, r in zip(factors, resp, strict=True)
    ],
    axis=-1,
  )


def svi_update(factors, hyper, loc, log_var, num_data, step_size, labels=None):
  """Eq. 13 and 14 as printed, in natural parameters; loc is [B, L]."""
  resp = responsibilities(factors, loc, log_var, labels)
  locs, log_vars = split(loc, factors), split(log_var, factors)
  weight = num_data / len(loc)
  out = []
  for p, u, v, r in zip(factors, locs, log_vars, resp, strict=True):
    count = weight * np.sum(r, axis=0)[:, None]
    first = weight * np.einsum("nk,nd->kd", r, u)
    second = weight * np.einsum("nk,nd->kd", r, u**2 + np.exp(v))
    ones = np.ones_like(first)
    target = np.stack(
      [
        hyper.a0 + count * ones / 2 - 0.5,
        -(hyper.b0 + hyper.s0 * hyper.m0**2 / 2 + second / 2),
        hyper.s0 * hyper.m0 + first,
        -(hyper.s0 + count * ones) / 2,
      ]
    )
    lambdas = (1 - step_size) * natural(*p[:4]) + step_size * target
    counts = (1 - step_size) * p.c + step_size * (hyper.c0 + count[:, 0])
    out.append(Params(*from_natural(lambdas), counts))
  return out


def student_t(p):
  """Degrees of freedom, location and scale of a new z, each [K, D]."""
  return 2 * p.a, p.m, np.sqrt((p.s + 1) * p.b / (p.s * p.a))


def log_prob(factors, z):
  total = 0.0
  for p, block in zip(factors, split(z, factors), strict=True):
    df, loc, scale = student_t(p)
    density = stats.t.logpdf(block[..., None, :], df, loc, scale).sum(-1)
    total += special.logsumexp(density + np.log(p.c / p.c.sum()), axis=-1)
  return total
