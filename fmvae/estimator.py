"""`fmvae.prior` as an estimator of scikit-learn.

Everything is computed in the precision of X: float64, which is scikit-learn's,
unless X is float32, which is faster.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import numpy as np

from fmvae import extras, prior
from fmvae.prior.arrays import padded
from fmvae.prior.fitting import DENSITY, SCHEDULE

with extras.needed("fmvae.estimator"):
  from sklearn.base import BaseEstimator, DensityMixin
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.utils import check_random_state
  from sklearn.utils.validation import check_is_fitted, validate_data

_ROWS = 4096  # of X at a time

_log_prob = jax.jit(prior.log_prob)
_responsibilities = jax.jit(prior.responsibilities)
_sample = jax.jit(prior.sample, static_argnames="shape")
_update = jax.jit(prior.svi_update)


class FactorialMixture(DensityMixin, BaseEstimator):
  """A product of Bayesian Gaussian mixtures, each of some of the features.

  Args:
    n_components: K of a single mixture of all features.
    factors: (D, K) of each mixture over D consecutive features, in place of
      `n_components`.
    hyperprior: of standardised features, a `prior.Hyperprior`; by default that
      of `prior.fit`.
    max_iter: steps at most. Up to `batch_size` rows are all seen in each step;
      more pass in batches.
    tol: stop when the bound gains less, in nats per row, in two times ten
      steps.
    batch_size: rows of a batch.
    random_state: seed, generator or None.

  Attributes:
    state_: the `prior.PriorState`, NumPy arrays in the units of X.
    lower_bounds_: of the log density per row, as the fit went on.
    lower_bound_: the last of them.
    n_iter_: steps taken.
    converged_: whether the bound had stopped to rise.
    n_samples_seen_: rows that `fit` and `partial_fit` were given.
    n_features_in_: features of X.
  """

  def __init__(
    self,
    n_components: int = 1,
    *,
    factors: Sequence[tuple[int, int]] | None = None,
    hyperprior: prior.Hyperprior | None = None,
    max_iter: int = 2000,
    tol: float = 1e-3,
    batch_size: int = 4096,
    random_state: Any = None,
  ):
    self.n_components = n_components
    self.factors = factors
    self.hyperprior = hyperprior
    self.max_iter = max_iter
    self.tol = tol
    self.batch_size = batch_size
    self.random_state = random_state

  def fit(self, X: Any, y: Any = None) -> Self:
    """Fits the mixtures to X `[n_samples, n_features]`; y is not read."""
    del y
    self._fit(self._validated(X, reset=True))
    if not self.converged_:
      warnings.warn(
        f"The bound was still rising after max_iter={self.max_iter} steps.",
        ConvergenceWarning,
        stacklevel=2,
      )
    return self

  def partial_fit(self, X: Any, y: Any = None) -> Self:
    """Begins with X as `fit` does, or takes one step with it; y is not read.

    The step's size falls with their number, so that rows of a stream count the
    less the longer ago they came.
    """
    del y
    if not hasattr(self, "state_"):
      self._fit(self._validated(X, reset=True))
      return self
    X = self._validated(X)
    self.n_samples_seen_ += len(X)
    self._num_updates += 1
    self.n_iter_ += 1
    with jax.enable_x64(X.dtype == np.float64):
      self.state_ = jax.device_get(
        _update(
          self._state(X),
          X,
          num_data=float(self.n_samples_seen_),
          step_size=SCHEDULE(self._num_updates),
        )
      )
    return self

  def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
    """`fit` and then `predict`."""
    return self.fit(X, y).predict(X)

  def predict(self, X: Any) -> np.ndarray:
    """The most responsible component of each row, int `[n_samples]`.

    `[n_samples, n_factors]` where there are several factors.
    """
    codes = [gamma.argmax(-1) for gamma in self._by_rows(_responsibilities, X)]
    return codes[0] if len(codes) == 1 else np.stack(codes, -1)

  def predict_proba(self, X: Any) -> Any:
    """Responsibilities `[n_samples, K]`, a list of them for several factors."""
    out = self._by_rows(_responsibilities, X)
    return out[0] if len(out) == 1 else list(out)

  def score_samples(self, X: Any) -> np.ndarray:
    """Log density of each row in nats, `[n_samples]`."""
    return self._by_rows(_log_prob, X)

  def score(self, X: Any, y: Any = None) -> float:
    """Mean log density of the rows in nats; y is not read."""
    del y
    return float(np.mean(self.score_samples(X)))

  def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """New rows `[n_samples, n_features]` and their components, as `predict`."""
    check_is_fitted(self)
    if n_samples < 1:
      raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    dtype = self.state_.factors[0].m.dtype
    with jax.enable_x64(dtype == np.float64):
      X, k = jax.device_get(
        _sample(self._key(), self.state_, shape=(n_samples,))
      )
    return X, k[:, 0] if k.shape[1] == 1 else k

  def _validated(self, X: Any, reset: bool = False) -> np.ndarray:
    return validate_data(
      self, X, dtype=[np.float64, np.float32], reset=reset, order="C"
    )

  def _key(self) -> jax.Array:
    seed = check_random_state(self.random_state).randint(2**31 - 1)
    return jax.random.key(seed)

  def _fit(self, X: np.ndarray) -> None:
    """Begins anew with X."""
    if self.factors is None:
      factors = [(X.shape[1], self.n_components)]
    elif self.n_components == 1:
      factors = list(self.factors)
    else:
      raise ValueError(
        "n_components must stay 1 where factors name their own, got "
        f"{self.n_components}"
      )
    size = sum(d for d, _ in factors)
    if size != X.shape[1]:
      raise ValueError(
        f"factors must have {X.shape[1]} features in all, as X, got {size}"
      )
    with jax.enable_x64(X.dtype == np.float64):
      fitted = prior.fit(
        self._key(),
        X,
        factors,
        DENSITY if self.hyperprior is None else self.hyperprior,
        batch_size=self.batch_size,
        max_steps=self.max_iter,
        tol=self.tol,
      )
      self.state_ = jax.device_get(fitted.state)
    self.lower_bounds_ = [bound for _, bound in fitted.trace]
    self.lower_bound_ = self.lower_bounds_[-1]
    self.n_iter_: int = fitted.trace[-1][0]
    self.converged_ = fitted.converged
    self.n_samples_seen_: int = len(X)
    self._num_updates: int = 0

  def _state(self, X: np.ndarray) -> prior.PriorState:
    """In the precision of X."""
    return jax.tree.map(lambda x: x.astype(X.dtype), self.state_)

  def _by_rows(self, fn: Callable, X: Any) -> Any:
    """fn(state, rows), some rows at a time."""
    check_is_fitted(self)
    X = self._validated(X)
    parts = []
    with jax.enable_x64(X.dtype == np.float64):
      state = self._state(X)
      for start in range(0, len(X), _ROWS):
        parts.append(jax.device_get(fn(state, padded(X[start:][:_ROWS]))))
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(X)], *parts)
