"""Sub-pixel against plain transposed convolutions: the 28x28 pair's gradient.

Times a whole forward and backward pass, batch 64, L = 64, the two in turn, and
prints the median and the least of the repeats in milliseconds.

  python -m experiments.studies.subpixel
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app

from fmvae import likelihoods, networks
from fmvae.networks import subpixel
from fmvae.objective import Model, standard_normal_terms

_REPEATS = 20


def lax_conv_transpose(x, kernel, stride):
  return jax.lax.conv_transpose(x, kernel, (stride, stride), "SAME")


def main(argv: list[str]) -> None:
  del argv
  vae = networks.make(
    "conv28", latent_dim=64, image_shape=(28, 28, 1), likelihood="bernoulli"
  )
  model = Model(vae, likelihoods.get("bernoulli"))
  params = vae.init(jax.random.key(0))
  noise = jax.random.normal(jax.random.key(1), (64, 64))
  x = jax.random.bernoulli(jax.random.key(2), 0.2, (64, 28, 28, 1))
  x = x.astype(jnp.float32)

  def loss(params):
    return -standard_normal_terms(model, params, x, noise).bound.mean()

  gradients = {}
  times: dict[str, list[float]] = {}
  forms = {"sub-pixel": subpixel.conv_transpose, "plain": lax_conv_transpose}
  for name, form in forms.items():
    subpixel.conv_transpose = form
    gradients[name] = jax.jit(jax.grad(loss)).lower(params).compile()
    times[name] = []
  results = {name: run(params) for name, run in gradients.items()}
  difference = jax.tree.map(
    lambda a, b: float(jnp.max(jnp.abs(a - b))), *results.values()
  )
  print(f"largest difference {max(jax.tree.leaves(difference)):.1e}")
  for _ in range(_REPEATS):
    for name, run in gradients.items():
      begin = time.perf_counter()
      jax.block_until_ready(run(params))
      times[name].append(1000 * (time.perf_counter() - begin))
  for name, t in times.items():
    print(f"{name}: median {np.median(t):.0f} ms, least {min(t):.0f} ms")


if __name__ == "__main__":
  app.run(main)
