import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fmvae.networks.convolution import (
  Conv,
  ConvTranspose,
  conv,
  conv_transpose,
)


def lax_conv(x, kernel, stride):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def lax_conv_transpose(x, kernel, stride):
  return jax.lax.conv_transpose(x, kernel, (stride, stride), "SAME")


@pytest.mark.parametrize(
  ("pair", "stride", "shape", "features"),
  [
    ((conv, lax_conv), 2, (6, 4, 3), 4),
    ((conv, lax_conv), 1, (3, 5, 1), 10),  # by patches
    ((conv, lax_conv), 1, (3, 5, 2), 3),  # by XLA
    ((conv_transpose, lax_conv_transpose), 2, (3, 5, 3), 4),
    ((conv_transpose, lax_conv_transpose), 2, (4, 1, 2), 5),
    ((conv_transpose, lax_conv_transpose), 1, (3, 5, 9), 1),
    ((conv_transpose, lax_conv_transpose), 1, (3, 5, 3), 4),
  ],
)
def test_equals_lax_with_its_gradients(pair, stride, shape, features):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    x = jnp.asarray(rng.normal(size=(2, *shape)))
    kernel = jnp.asarray(rng.normal(size=(3, 3, shape[-1], features)))
    y = jax.eval_shape(lambda x, k: pair[1](x, k, stride), x, kernel)
    cotangent = jnp.asarray(rng.normal(size=y.shape))

    def value_and_grads(function):
      def run(x, kernel, cotangent):
        y, pullback = jax.vjp(lambda x, k: function(x, k, stride), x, kernel)
        return y, pullback(cotangent)

      return jax.jit(run)(x, kernel, cotangent)

    ours, expected = map(value_and_grads, pair)
    assert ours[0].dtype == jnp.float64
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12),
      ours,
      expected,
    )


@pytest.mark.parametrize("function", [conv, conv_transpose])
def test_other_platforms_have_their_own(function):
  def loss(x, kernel):
    return jnp.sum(function(x, kernel, 2) ** 2)

  shapes = [
    jax.ShapeDtypeStruct(s, "float32") for s in [(2, 4, 4, 8), (3, 3, 8, 2)]
  ]
  traced = jax.jit(jax.grad(loss, (0, 1))).trace(*shapes)
  for platform, by_xla in (("cuda", True), ("tpu", True), ("cpu", False)):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.convolution" in text) == by_xla
    assert ("stablehlo.dot_general" in text) != by_xla


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


@pytest.mark.parametrize(
  ("ours", "theirs"),
  [
    (Conv(3, 2), nn.Conv(3, (3, 3), 2)),
    (ConvTranspose(3, 2), nn.ConvTranspose(3, (3, 3), (2, 2), "SAME")),
  ],
)
def test_module_stands_in_for_flax(ours, theirs):
  assert type(ours).__name__ == type(theirs).__name__  # names its parameters
  x = np.random.default_rng(0).normal(size=(2, 4, 6, 2)).astype(np.float32)
  variables = ours.init(jax.random.key(1), x)
  expected = theirs.init(jax.random.key(1), x)
  jax.tree.map(np.testing.assert_array_equal, variables, expected)
  variables["params"]["bias"] += jnp.arange(3.0)
  np.testing.assert_allclose(
    ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5
  )


@pytest.mark.parametrize("module", [Conv(3, 2), ConvTranspose(3, 2)])
@pytest.mark.parametrize("given", ["bfloat16", "int32"])
def test_module_promotes_its_input_as_flax_does(module, given):
  x = jnp.asarray(np.arange(32).reshape(1, 4, 4, 2), given)
  variables = module.init(jax.random.key(0), x)
  apply = jax.jit(module.apply)
  y = apply(variables, x)
  assert y.dtype == jnp.float32
  np.testing.assert_array_equal(y, apply(variables, x.astype(jnp.float32)))


@pytest.mark.parametrize("function", [conv, conv_transpose])
@pytest.mark.parametrize(
  ("size", "stride", "argument"), [(5, 2, "kernel"), (3, 3, "stride")]
)
def test_rejects(function, size, stride, argument):
  kernel = jnp.zeros((size, size, 1, 1))
  with pytest.raises(ValueError, match=argument):
    function(jnp.zeros((4, 4, 1)), kernel, stride)


def test_conv_rejects_odd_sizes():
  with pytest.raises(ValueError, match="multiples of 2"):
    conv(jnp.zeros((5, 4, 1)), jnp.zeros((3, 3, 1, 1)), 2)
