"""`fmvae.prior` in a VAE of plain JAX and optax, on digits of scikit-learn.

Command: python docs/prior_in_jax.py
It takes half a minute, and writes the picture of the page prior_in_jax.md into
docs/pictures. Its arguments are for tests: how many steps of each phase, and
where to write.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from fmvae import prior

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
OUT = pathlib.Path(*sys.argv[2:] or [__file__, "..", "pictures"]).resolve()

# [networks]
BATCH, LATENT = 50, 16
pixels = (load_digits().data > 7).astype(np.float32)  # [1797, 64]
train, test = pixels[:1500], pixels[1500:]


def init_mlp(key, *sizes):
  keys = jax.random.split(key, len(sizes))
  return [
    (jax.random.normal(k, (m, n)) * m**-0.5, jnp.zeros(n))
    for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=False)
  ]


def mlp(layers, x):
  *hidden, (w, b) = layers
  for weights, bias in hidden:
    x = jax.nn.relu(x @ weights + bias)
  return x @ w + b


def encode(params, x):
  loc, log_var = jnp.split(mlp(params["encoder"], x), 2, -1)
  return loc, log_var  # [B, L] each


params = {
  "encoder": init_mlp(jax.random.key(0), 64, 128, 2 * LATENT),
  "decoder": init_mlp(jax.random.key(1), LATENT, 128, 64),
}
# [end networks]


# [bound]
def bound(params, state, key, x):
  """The mean bound of x in nats, and its encodings; state None: N(0, I)."""
  loc, log_var = encode(params, x)
  z = loc + jnp.exp(0.5 * log_var) * jax.random.normal(key, loc.shape)
  logits = mlp(params["decoder"], z)
  log_likelihood = -optax.sigmoid_binary_cross_entropy(logits, x).sum(-1)
  if state is None:
    kl = 0.5 * (loc**2 + jnp.exp(log_var) - log_var - 1).sum(-1)
  else:
    resp = prior.responsibilities(state, loc, log_var)  # eq. 5
    kl = prior.kl_z(state, loc, log_var, resp) + prior.kl_r(state, resp)
    kl = kl.sum(-1)  # over the factors
  return (log_likelihood - kl).mean(), (loc, log_var)


# [end bound]

# [step]
optimizer = optax.adam(1e-3)


@jax.jit
def step(params, opt_state, state, key, number):
  of_batch, of_z = jax.random.split(jax.random.fold_in(key, number))
  x = jax.random.choice(of_batch, train, (BATCH,))

  def loss(params):
    value, encodings = bound(params, state, of_z, x)
    return -value, encodings

  grads, (loc, log_var) = jax.grad(loss, has_aux=True)(params)
  updates, opt_state = optimizer.update(grads, opt_state)
  params = optax.apply_updates(params, updates)
  if state is not None:  # its natural gradient, at the same encodings
    state = prior.svi_update(
      state, loc, log_var, num_data=len(train), step_size=0.01
    )
  return params, opt_state, state


# [end step]

# [train]
opt_state, key = optimizer.init(params), jax.random.key(2)
for number in range(STEPS):  # under N(0, I)
  params, opt_state, _ = step(params, opt_state, None, key, number)
print("N(0, I):", bound(params, None, key, test)[0])

loc, log_var = encode(params, train)
state = prior.init(
  jax.random.key(3),
  [(LATENT, 20)],  # (D, K) of each factor
  loc=loc,
  log_var=log_var,
  num_data=len(train),
)
for number in range(STEPS, 2 * STEPS):
  params, opt_state, state = step(params, opt_state, state, key, number)
print("mixtures:", bound(params, state, key, test)[0])
print("codes:", prior.codes(state, encode(params, test)[0])[:5].tolist())
(usage,) = prior.usage(state)  # of each factor
print("used:", int((~usage.pruned).sum()), "of 20 components")
# [end train]

# [sample]
largest = np.argsort(-usage.share)[:12]  # a column for each
z, _ = prior.sample(jax.random.key(4), state, (6, 12), largest[:, None])
pictures = jax.nn.sigmoid(mlp(params["decoder"], z)).reshape(6, 12, 8, 8)
framed = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.5)
grid = framed.transpose(0, 2, 1, 3).reshape(60, 120)
grid = grid.repeat(4, 0).repeat(4, 1)
plt.imsave(OUT / "prior_in_jax.png", grid, cmap="gray")
# [end sample]
