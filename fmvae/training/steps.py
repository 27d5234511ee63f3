"""The three training steps, one for each phase (Sec. 2.4).

A step is a pure function (state, batch) -> (state, info). `info` holds the
batch's averages for a person to look at; the next step needs `state` alone.
Under `jax.pmap` with `axis_name` every device holds a part of the batch:
gradients are averaged, the sums of eq. 13 run over the global batch, and every
image draws the same noise wherever it lies, so that the trajectory does not
depend on the number of devices.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from fmvae import prior
from fmvae.objective import (
  Model,
  Terms,
  mixture_terms,
  standard_normal_terms,
)
from fmvae.training.state import Batch, TrainState

Info = dict[str, Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Info]]
Schedule = Callable[[Array], Array]


class Steps(NamedTuple):
  """The step of each phase, in order."""

  pretrain: Step  # theta, phi under an N(0, I) prior
  prior: Step  # lambda alone, encoder frozen
  joint: Step  # theta, phi, then lambda


def make_steps(
  model: Model,
  optimizer: optax.GradientTransformation,
  to_input: Callable[[Array, Array], Array],
  *,
  num_data: int,
  kl_weight: Schedule,
  step_size: Schedule,
  axis_name: str | None = None,
) -> Steps:
  """Builds the steps; compile them with `jax.jit`, or `jax.pmap` over devices.

  Args:
    model: the networks and the likelihood.
    optimizer: updates theta and phi.
    to_input: (key, uint8 image) -> float image, for one image.
    num_data: N, the size of the training set.
    kl_weight: weight of the KL term in pre-training, by step.
    step_size: rho of eq. 14, by the number of the prior's updates so far.
    axis_name: of the mapped axis, if any.
  """

  def mean(tree):
    tree = jax.tree.map(lambda x: jnp.mean(x, 0), tree)
    return tree if axis_name is None else lax.pmean(tree, axis_name)

  def inputs(state: TrainState, batch: Batch) -> tuple[Array, Array]:
    """Float images and the noise for z, each image by a key of its own."""
    size = batch.images.shape[0]
    first = 0 if axis_name is None else lax.axis_index(axis_name) * size
    step_key = jax.random.fold_in(state.key, state.step)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
      step_key, first + jnp.arange(size)
    )
    image_keys, noise_keys = jnp.unstack(
      jax.vmap(jax.random.split)(keys), axis=1
    )
    x = jax.vmap(to_input)(image_keys, batch.images)
    shape = (model.vae.latent_dim,)
    noise = jax.vmap(lambda key: jax.random.normal(key, shape))(noise_keys)
    return x, noise

  def descend(state: TrainState, loss) -> tuple[TrainState, Terms]:
    """One optimiser step on theta, phi (Sec. 2.4.2)."""
    grads, terms = jax.grad(loss, has_aux=True)(state.params)
    if axis_name is not None:
      grads = lax.pmean(grads, axis_name)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(params=params, opt_state=opt_state), terms

  def update_prior(
    state: TrainState, loc: Array, log_var: Array, labels: Array
  ) -> TrainState:
    """Step 3: gamma at the current phi, then eq. 13-14 (Sec. 2.4.3)."""
    return state.replace(
      prior=prior.svi_update(
        state.prior,
        loc,
        log_var,
        num_data=num_data,
        step_size=step_size(state.prior_updates),
        labels=labels,
        axis_name=axis_name,
      ),
      prior_updates=state.prior_updates + 1,
    )

  def info_of(terms: Terms) -> Info:
    return mean(
      {
        "bound": terms.bound,
        "reconstruction": terms.reconstruction,
        "kl_z": jnp.sum(terms.kl_z, -1),
        "kl_r": jnp.sum(terms.kl_r, -1),
      }
    )

  def pretrain(state: TrainState, batch: Batch) -> tuple[TrainState, Info]:
    x, noise = inputs(state, batch)
    weight = kl_weight(state.step)

    def loss(params):
      terms = standard_normal_terms(model, params, x, noise)
      kl = jnp.sum(terms.kl_z, -1)
      return jnp.mean(weight * kl - terms.reconstruction), terms

    state, terms = descend(state, loss)
    return state.replace(step=state.step + 1), info_of(terms)

  def prior_only(state: TrainState, batch: Batch) -> tuple[TrainState, Info]:
    x, _ = inputs(state, batch)
    loc, log_var = model.vae.encode(state.params, x)
    resp = prior.responsibilities(state.prior, loc, log_var, batch.labels)
    info = {
      "kl_z": jnp.sum(prior.kl_z(state.prior, loc, log_var, resp), -1),
      "kl_r": jnp.sum(prior.kl_r(state.prior, resp), -1),
    }
    state = update_prior(state, loc, log_var, batch.labels)
    return state.replace(step=state.step + 1), mean(info)

  def joint(state: TrainState, batch: Batch) -> tuple[TrainState, Info]:
    x, noise = inputs(state, batch)

    def loss(params):
      terms, _ = mixture_terms(
        model, params, state.prior, x, noise, batch.labels
      )
      return -jnp.mean(terms.bound), terms

    new, terms = descend(state, loss)
    loc, log_var = model.vae.encode(new.params, x)
    new = update_prior(new, loc, log_var, batch.labels)
    return new.replace(step=state.step + 1), info_of(terms)

  return Steps(pretrain, prior_only, joint)
