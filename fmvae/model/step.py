"""The training step (Sec. 2.4) and the two moments at which a state begins.

`train_step` is a pure function (model, phase, state, batch) -> (state, info):
bind the first two, compile it with `jax.jit`, or with `jax.pmap` over devices.
`info` holds the batch's averages for a person to look at; the next step needs
the state alone. With `axis_name` every device holds a part of the batch:
gradients are averaged, the sums of eq. 13 run over the global batch, and every
image draws the same noise wherever it lies, so that the trajectory does not
depend on the number of devices.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from fmvae.data import Batch, Images, augment
from fmvae.model import control
from fmvae.model import supervision as supervision_lib
from fmvae.model.model import Model
from fmvae.model.objective import Terms, local_terms
from fmvae.model.phases import Phase
from fmvae.model.priors import Encoding, StandardNormal
from fmvae.model.train_state import TrainState

Info = dict[str, Array]
_INIT_PRIOR = 2**32 - 1  # folded into the run's key where steps fold theirs in
_AUGMENTED, _DRAWN, _COMPOSED = 1, 1, 2  # into the keys of images, noise, noise
_READER, _RECOGNISER = 1, 2  # into the key of params
_fold_in_each = jax.vmap(jax.random.fold_in, (0, None))  # one number, many keys


def train_step(
  model: Model,
  phase: Phase,
  state: TrainState,
  batch: Batch,
  axis_name: str | None = None,
) -> tuple[TrainState, Info]:
  """One iteration of Sec. 2.4, or those of its three updates that `phase` has.

  Args:
    model: what is trained; `phase.prior` takes the place of its prior.
    phase: which updates, by which schedules.
    state: before the step.
    batch: this device's part of it.
    axis_name: of the mapped axis, if any.

  Returns:
    The new state and the averages of the batch under the old one, in nats.
  """
  model = model.replace(prior=phase.prior)
  inputs = _inputs(model, phase, state, batch, axis_name)
  labels = batch.labels if phase.supervision.factors else None
  new, info, factor_grads = state, {}, ()
  if phase.trains_networks:
    grads, factor_grads, (terms, encoding, others) = _gradients(
      model, phase, state, inputs, labels, axis_name
    )
    new, info = _descend(phase, state, grads), _averages(terms) | others
    if factor_grads:
      info["label_log_prob"] = jnp.sum(terms.label_log_prob, -1)
  if phase.updates_prior:
    if phase.encodes_again or not phase.trains_networks:
      loc, log_var = model.vae.encode(new.params, inputs.x)
    else:
      loc, log_var = encoding.loc, encoding.log_var
    if not phase.trains_networks:
      encoding = Encoding(loc, log_var, jnp.exp(log_var), loc)
      costs = model.prior.costs(model.variables_of(state), encoding, labels)
      info = {
        "kl_z": jnp.sum(costs.kl_z, -1),
        "kl_r": jnp.sum(costs.kl_r, -1),
      }
    new = _update_prior(model, phase, new, loc, log_var, labels, axis_name)
  info = _mean(info, axis_name)
  if factor_grads:
    new = supervision_lib.update_named(phase, state, new, factor_grads)
    info["delta"] = phase.supervision.delta(state.step)
  return new.replace(step=state.step + 1), info


class _Inputs(NamedTuple):
  """What a step sees of its batch."""

  x: Array  # float images [B, H, W, C]
  noise: Array  # of z, [B, L]
  drawn: Array | None  # bool [B], for `control.draw_named`
  keys: Array  # [B], for `control.obedience_costs`


def _inputs(
  model: Model,
  phase: Phase,
  state: TrainState,
  batch: Batch,
  axis_name: str | None,
) -> _Inputs:
  """Each image has a key of its own."""
  size = batch.images.shape[0]
  first = 0 if axis_name is None else lax.axis_index(axis_name) * size
  step_key = jax.random.fold_in(state.key, state.step)
  keys = jax.vmap(jax.random.fold_in, (None, 0))(
    step_key, first + jnp.arange(size)
  )
  image_keys, noise_keys = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
  to_input = model.preprocessing.input(training=True)
  x = jax.vmap(to_input)(image_keys, batch.images)
  if phase.flips or phase.shifts:
    keys = _fold_in_each(image_keys, _AUGMENTED)
    changed = functools.partial(augment, flips=phase.flips, shifts=phase.shifts)
    x = jax.vmap(changed)(keys, x)
  shape = (model.vae.latent_dim,)
  noise = jax.vmap(lambda key: jax.random.normal(key, shape))(noise_keys)
  drawn = None
  if phase.draw_named:
    keys = _fold_in_each(noise_keys, _DRAWN)
    is_drawn = functools.partial(jax.random.bernoulli, p=phase.draw_named)
    drawn = jax.vmap(is_drawn)(keys)
  keys = _fold_in_each(noise_keys, _COMPOSED)
  return _Inputs(x, noise, drawn, keys)


def _gradients(
  model: Model,
  phase: Phase,
  state: TrainState,
  inputs: _Inputs,
  labels: Array | None,
  axis_name: str | None,
) -> tuple[Any, tuple, tuple[Terms, Encoding, Info]]:
  """Of F (eq. 4, 8) by theta and phi and by named factors, and what it saw."""
  supervision = phase.supervision
  weight = phase.kl_z_weight(state.step)
  delta = supervision.delta(state.step)

  def loss(params, factors):
    prior_state = supervision_lib.with_named(supervision, state.prior, factors)
    terms, resp, encoding = local_terms(
      model,
      params,
      prior_state,
      inputs.x,
      inputs.noise,
      labels,
      inputs.drawn,
    )
    value = -jnp.mean(terms.objective(weight, delta))
    others: Info = {}
    if phase.independence:
      reading, telling = control.reader_costs(
        model, params["reader"], prior_state, encoding.z, resp
      )
      value += jnp.mean(reading) + phase.independence * jnp.mean(telling)
      others["reader_cost"] = reading
    if phase.obedience:
      recognising, obeying = control.obedience_costs(
        model, params, prior_state, inputs.x, encoding.z, resp, inputs.keys
      )
      value += jnp.mean(recognising) + phase.obedience * jnp.mean(obeying)
      others |= {"recogniser_cost": recognising, "obedience_cost": obeying}
    if factors:
      shared = supervision_lib.named_global_cost(prior_state, factors)
      value += shared / phase.num_data
    return value, (terms, encoding, others)

  factors = supervision_lib.named_factors(supervision, state.prior)
  grads, seen = jax.grad(loss, (0, 1), has_aux=True)(state.params, factors)
  if axis_name is not None:
    grads = lax.pmean(grads, axis_name)
  return *grads, seen


def _descend(phase: Phase, state: TrainState, grads: Any) -> TrainState:
  """One optimiser step on theta, phi (Sec. 2.4.2)."""
  updates, opt_state = phase.optimizer.update(
    grads, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  return state.replace(params=params, opt_state=opt_state)


def _update_prior(
  model: Model,
  phase: Phase,
  state: TrainState,
  loc: Array,
  log_var: Array,
  labels: Array | None,
  axis_name: str | None,
) -> TrainState:
  """Step 3: gamma of the encodings, then eq. 13-14 (Sec. 2.4.3)."""
  return state.replace(
    prior=model.prior.update(
      model.variables_of(state),
      loc,
      log_var,
      num_data=phase.num_data,
      step_size=phase.step_size(state.prior_updates),
      labels=labels,
      axis_name=axis_name,
    ),
    prior_updates=state.prior_updates + 1,
  )


def _averages(terms: Terms) -> Info:
  """The bound of eq. 11 and its parts, for each point."""
  return {
    "bound": terms.bound,
    "reconstruction": terms.reconstruction,
    "kl_z": jnp.sum(terms.kl_z, -1),
    "kl_r": jnp.sum(terms.kl_r, -1),
  }


def _mean(info: Info, axis_name: str | None) -> Info:
  """Over the points of the global batch."""
  info = jax.tree.map(lambda x: jnp.mean(x, 0), info)
  return info if axis_name is None else lax.pmean(info, axis_name)


def init(model: Model, phase: Phase, key: Array) -> TrainState:
  """The state before the first step.

  Args:
    model: what will be trained, with the prior of the last phase.
    phase: the last one; its optimisers are those of the run.
    key: a PRNG key.
  """
  params_key, prior_key, run_key = jax.random.split(key, 3)
  prior_params, prior_state = model.prior.init(prior_key)
  params: dict[str, Any] = dict(model.vae.init(params_key))
  if prior_params is not None:
    params["prior"] = prior_params
  if phase.independence:
    reader_key = jax.random.fold_in(params_key, _READER)
    params["reader"] = control.init_reader(model, reader_key)
  if phase.obedience:
    recogniser_key = jax.random.fold_in(params_key, _RECOGNISER)
    params["recogniser"] = control.init_recogniser(model, recogniser_key)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=phase.optimizer.init(params),
    prior=prior_state,
    named_opt_state=supervision_lib.init(phase.supervision, prior_state),
    prior_updates=jnp.zeros((), jnp.int32),
    key=run_key,
  )


def init_prior(
  model: Model, phase: Phase, state: TrainState, images: Images
) -> TrainState:
  """The state at the start of `phase`: the prior at encodings of points.

  A function of the state alone: drawn with the run's key, from at most
  `phase.init_encodings` training points, without labels.

  Args:
    model: what is trained.
    phase: the first one that has this prior.
    state: on one device.
    images: the training images, uint8 `[N, H, W, C]`.
  """
  key, points_key, input_key = jax.random.split(
    jax.random.fold_in(state.key, _INIT_PRIOR), 3
  )
  total = len(images)
  num = min(phase.init_encodings, total)
  chosen = jax.random.choice(points_key, total, (num,), replace=False)
  loc, log_var = model.encode(
    state, images[np.asarray(chosen)], input_key, training=True
  )

  def inputs(n: int) -> Array:
    to_input = jax.vmap(model.preprocessing.input(training=True))
    keys = jax.random.split(input_key, num)[:n]
    return to_input(keys, jnp.asarray(images[np.asarray(chosen[:n])]))

  prior_params, prior_state = phase.prior.init_from(
    key,
    model.variables_of(state)._replace(inputs=inputs),
    loc,
    log_var,
    total,
  )
  params = state.params
  if prior_params is not None:
    params = {**params, "prior": prior_params}
  return state.replace(params=params, prior=prior_state)


def model_at(model: Model, phases: Sequence[Phase], step: int) -> Model:
  """The model with the prior of the phase that made the state of a step.

  N(0, I) before the first step, when a mixture knows of no encodings yet.
  """
  for phase in phases:
    if phase.start < step <= phase.end:
      return model.replace(prior=phase.prior)
  return model.replace(prior=StandardNormal(model.vae.latent_dim))
