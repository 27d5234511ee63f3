"""The three training steps, one for each phase (Sec. 2.4).

A step is a pure function (state, batch) -> (state, info). `info` holds the
batch's averages for a person to look at; the next step needs `state` alone.
Under `jax.pmap` with `axis_name` every device holds a part of the batch:
gradients are averaged, the sums of eq. 13 run over the global batch, and every
image draws the same noise wherever it lies, so that the trajectory does not
depend on the number of devices.

The joint step of a semi-supervised model (Sec. 2.5) climbs F of eq. 8. While
Delta > 0, the factors that labels name move by the gradients of F together with
theta and phi; when a schedule takes Delta to 0 they return to eq. 13-14, with
responsibilities clamped where there are labels.
"""

import dataclasses
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
from fmvae.training.state import Batch, Schedule, Supervision, TrainState

Info = dict[str, Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Info]]


class Steps(NamedTuple):
  """The step of each phase, in order."""

  pretrain: Step  # theta, phi under an N(0, I) prior
  prior: Step  # lambda alone, encoder frozen
  joint: Step  # theta, phi and factors with labels, then lambda of the others


def make_steps(
  model: Model,
  optimizer: optax.GradientTransformation,
  to_input: Callable[[Array, Array], Array],
  *,
  num_data: int,
  kl_weight: Schedule,
  step_size: Schedule,
  kl_z_weight: Schedule,
  supervision: Supervision,
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
    kl_z_weight: weight of KL[z], line 4b, in the joint phase, by step.
    supervision: what labels do; where no factor is named, nothing.
    axis_name: of the mapped axis, if any.
  """
  named = supervision.factors

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

  def labels_of(batch: Batch) -> Array | None:
    return batch.labels if named else None

  def descend(state: TrainState, grads) -> TrainState:
    """One optimiser step on theta, phi (Sec. 2.4.2)."""
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(params=params, opt_state=opt_state)

  def gradients(loss, *arguments):
    """By every argument, averaged over devices, and what `loss` adds."""
    by_all = tuple(range(len(arguments)))
    grads, terms = jax.grad(loss, by_all, has_aux=True)(*arguments)
    if axis_name is not None:
      grads = lax.pmean(grads, axis_name)
    return *grads, terms

  def with_named(mixture: prior.PriorState, factors) -> prior.PriorState:
    """`factors` in place of those that labels name."""
    out = list(mixture.factors)
    for i, f in zip(named, factors, strict=True):
      out[i] = f
    return dataclasses.replace(mixture, factors=tuple(out))

  def descend_named(state: TrainState, factors, grads):
    """One optimiser step on the factors that labels name (Sec. 2.5)."""
    by_log = tuple(map(prior.log_gradients, factors, grads))
    updates, opt_state = supervision.optimizer.update(
      by_log, state.named_opt_state, factors
    )
    return tuple(map(prior.apply_log_updates, factors, updates)), opt_state

  def update_prior(
    state: TrainState, loc: Array, log_var: Array, labels: Array | None
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

    grads, terms = gradients(loss, state.params)
    state = descend(state, grads)
    return state.replace(step=state.step + 1), info_of(terms)

  def prior_only(state: TrainState, batch: Batch) -> tuple[TrainState, Info]:
    x, _ = inputs(state, batch)
    loc, log_var = model.vae.encode(state.params, x)
    labels = labels_of(batch)
    resp = prior.responsibilities(state.prior, loc, log_var, labels)
    info = {
      "kl_z": jnp.sum(prior.kl_z(state.prior, loc, log_var, resp), -1),
      "kl_r": jnp.sum(prior.kl_r(state.prior, resp), -1),
    }
    state = update_prior(state, loc, log_var, labels)
    return state.replace(step=state.step + 1), mean(info)

  def joint(state: TrainState, batch: Batch) -> tuple[TrainState, Info]:
    x, noise = inputs(state, batch)
    labels = labels_of(batch)
    weight = kl_z_weight(state.step)
    delta = supervision.delta(state.step)

    def loss(params, factors):
      mixture = with_named(state.prior, factors)
      terms, _ = mixture_terms(model, params, mixture, x, noise, labels)
      value = -jnp.mean(terms.objective(weight, delta))
      if named:  # lines 4d, 4e, for the factors' gradients
        of_named = dataclasses.replace(mixture, factors=factors)
        value += jnp.sum(prior.kl_global(of_named)) / num_data
      return value, terms

    factors = tuple(state.prior.factors[i] for i in named)
    grads, factor_grads, terms = gradients(loss, state.params, factors)
    new = descend(state, grads)
    loc, log_var = model.vae.encode(new.params, x)
    new = update_prior(new, loc, log_var, labels)
    info = info_of(terms)
    if named:
      stepped = descend_named(state, factors, factor_grads)
      closed = tuple(new.prior.factors[i] for i in named), state.named_opt_state
      factors, opt_state = jax.tree.map(
        lambda x, y: jnp.where(delta > 0, x, y), stepped, closed
      )
      new = new.replace(
        prior=with_named(new.prior, factors), named_opt_state=opt_state
      )
      info |= mean({"label_log_prob": jnp.sum(terms.label_log_prob, -1)})
      info |= {"delta": delta}
    return new.replace(step=state.step + 1), info

  return Steps(pretrain, prior_only, joint)
