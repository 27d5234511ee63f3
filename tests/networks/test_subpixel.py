import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fmvae.networks.subpixel import ConvTranspose, conv_transpose


def _reference(x, kernel, stride):
  return jax.lax.conv_transpose(x, kernel, (stride, stride), "SAME")


@pytest.mark.parametrize(
  ("stride", "height", "width", "channels", "features"),
  [(2, 3, 5, 3, 4), (2, 4, 1, 2, 5), (1, 3, 5, 3, 4)],
)
def test_conv_transpose_matches_lax(stride, height, width, channels, features):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    x = jnp.asarray(rng.normal(size=(2, height, width, channels)))
    kernel = jnp.asarray(rng.normal(size=(3, 3, channels, features)))
    cotangent = jnp.asarray(
      rng.normal(size=(2, stride * height, stride * width, features))
    )

    def value_and_grads(function):
      def run(x, kernel, cotangent):
        y, pullback = jax.vjp(lambda x, k: function(x, k, stride), x, kernel)
        return y, pullback(cotangent)

      return jax.jit(run)(x, kernel, cotangent)

    ours, expected = map(value_and_grads, (conv_transpose, _reference))
    assert ours[0].dtype == jnp.float64
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12),
      ours,
      expected,
    )


def test_conv_transpose_takes_any_leading_axes():
  rng = np.random.default_rng(1)
  x = jnp.asarray(rng.normal(size=(2, 3, 4, 4, 2)), jnp.float32)
  kernel = jnp.asarray(rng.normal(size=(3, 3, 2, 1)), jnp.float32)
  y = conv_transpose(x, kernel, 2)
  assert y.shape == (2, 3, 8, 8, 1)
  alone = conv_transpose(x[1, 2], kernel, 2)
  np.testing.assert_allclose(y[1, 2], alone, atol=1e-5)
  mapped = jax.vmap(lambda x: conv_transpose(x, kernel, 2))(x)
  np.testing.assert_allclose(y, mapped, atol=1e-5)


def test_module_stands_in_for_flax():
  ours = ConvTranspose(3, 2)
  theirs = nn.ConvTranspose(3, (3, 3), (2, 2), "SAME")
  x = np.random.default_rng(0).normal(size=(2, 4, 5, 2)).astype(np.float32)
  variables = ours.init(jax.random.key(1), x)
  expected = theirs.init(jax.random.key(1), x)
  jax.tree.map(np.testing.assert_array_equal, variables, expected)
  variables["params"]["bias"] += jnp.arange(3.0)
  np.testing.assert_allclose(
    ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5
  )


@pytest.mark.parametrize(
  ("size", "stride", "argument"), [(5, 2, "kernel"), (3, 3, "stride")]
)
def test_conv_transpose_rejects(size, stride, argument):
  with pytest.raises(ValueError, match=argument):
    conv_transpose(jnp.zeros((4, 4, 1)), jnp.zeros((size, size, 1, 1)), stride)
