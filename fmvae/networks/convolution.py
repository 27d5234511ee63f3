"""3x3 convolutions and transposed ones that are fast on a CPU too.

On a GPU or TPU they are XLA's own. XLA's CPU backend multiplies matrices as
fast as any library, but is slow at the gradients of a convolution of stride 2,
whose kernel or input is dilated, and at few channels. There the two are written
as what they are,

  conv(x)           = patches(x) k       patches: 9 C numbers for each output
  conv_transpose(x) = spread(x k)        spread adds 9 C numbers into the output

where k is the kernel as a matrix; `spread` is the transpose of `patches`, and
tells it so, since JAX would derive a slower one. Along one axis, with the pads
of 'SAME', patch q holds the taps t = 0, 1, 2 at

  x[q + t - 1] for stride 1, x[2 q + t] for stride 2.

Flax's transposed convolution is that transpose with the taps of the kernel
reversed. Neither form multiplies by a zero that dilation put in. Forward-mode
differentiation of the two is not offered.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax


def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Equals `jax.lax.conv` with 'SAME' padding, for 3x3 kernels.

  Args:
    x: `[..., H, W, in]`, with H and W multiples of the stride.
    kernel: `[3, 3, in, out]`, of the dtype of `x`.
    stride: 1 or 2.

  Returns:
    `[..., H / stride, W / stride, out]`.

  Raises:
    ValueError: if the kernel is not 3x3, the stride neither 1 nor 2, or H or W
      no multiple of it.
  """
  _check(kernel, stride)
  if x.shape[-3] % stride or x.shape[-2] % stride:
    raise ValueError(
      f"x must have H and W that are multiples of {stride}, got {x.shape}"
    )
  channels, features = kernel.shape[2:]
  dense = stride == 1 and 9 * channels > features
  return _run(x, kernel, stride, _xla_conv, None if dense else _patches_conv)


def conv_transpose(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Equals `jax.lax.conv_transpose` with 'SAME' padding, for 3x3 kernels.

  Args:
    x: `[..., H, W, in]`.
    kernel: `[3, 3, in, out]`, of the dtype of `x`.
    stride: 1 or 2.

  Returns:
    `[..., stride H, stride W, out]`.

  Raises:
    ValueError: if the kernel is not 3x3 or the stride neither 1 nor 2.
  """
  _check(kernel, stride)
  channels, features = kernel.shape[2:]
  dense = stride == 1 and 9 * features > channels
  return _run(
    x,
    kernel,
    stride,
    _xla_conv_transpose,
    None if dense else _spread_conv_transpose,
  )


def _check(kernel, stride):
  if kernel.ndim != 4 or kernel.shape[:2] != (3, 3):
    raise ValueError(f"kernel must be [3, 3, in, out], got {kernel.shape}")
  if stride not in (1, 2):
    raise ValueError(f"stride must be 1 or 2, got {stride}")


def _run(x, kernel, stride, everywhere, on_cpu):
  """One of the two forms, on images along one axis."""
  batch = x.shape[:-3]
  x = x.reshape(-1, *x.shape[-3:])
  everywhere = functools.partial(everywhere, stride=stride)
  if on_cpu is None:
    y = everywhere(x, kernel)
  else:
    on_cpu = functools.partial(on_cpu, stride=stride)
    y = lax.platform_dependent(x, kernel, cpu=on_cpu, default=everywhere)
  return y.reshape(*batch, *y.shape[1:])


def _xla_conv(x, kernel, stride):
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def _xla_conv_transpose(x, kernel, stride):
  return lax.conv_transpose(x, kernel, (stride, stride), "SAME")


def _patches_conv(x, kernel, stride):
  features = kernel.shape[-1]
  patches = _patches(x, stride)
  y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, features)
  return y.reshape(*patches.shape[:-1], features)


def _spread_conv_transpose(x, kernel, stride):
  channels = x.shape[-1]
  matrix = kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(channels, -1)
  columns = x.reshape(-1, channels) @ matrix
  return _spread(columns.reshape(*x.shape[:-1], -1), stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _patches(x, stride):
  """`[B, H, W, C]` -> `[B, H / stride, W / stride, 9 C]`, axes (t, t', C)."""
  _, height, width, _ = x.shape
  pad = (2 - stride, 1)
  x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))

  def taps(first, size):  # of one axis
    return slice(first, first + size - stride + 1, stride)

  return jnp.concatenate(
    [x[:, taps(i, height), taps(j, width)] for i in range(3) for j in range(3)],
    -1,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _spread(columns, stride):
  """The transpose of `_patches`."""
  batch, height, width, _ = columns.shape
  taps = columns.reshape(batch, height, width, 3, 3, -1)
  rows = [
    _add_taps([taps[:, :, :, i, j] for i in range(3)], 1, stride)
    for j in range(3)
  ]
  phases = [
    _add_taps([row[phase] for row in rows], 2, stride)
    for phase in range(stride)
  ]
  y = jnp.stack([jnp.stack(phase, 3) for phase in phases], 2)
  return y.reshape(batch, stride * height, stride * width, -1)


def _add_taps(taps, axis, stride):
  """The output along an axis, every `stride`-th element in an array."""
  first, second, third = taps
  third = _shift(third, 1, axis)
  if stride == 1:
    return [_shift(first, -1, axis) + second + third]
  return [first + third, second]


def _shift(x, by, axis):
  """x[q - by], zero beyond the edge."""
  config = [(0, 0, 0)] * x.ndim
  config[axis] = (by, -by, 0)
  return lax.pad(x, jnp.zeros((), x.dtype), config)


_patches.defvjp(
  lambda x, stride: (_patches(x, stride), None),
  lambda stride, _, cotangent: (_spread(cotangent, stride),),
)
_spread.defvjp(
  lambda columns, stride: (_spread(columns, stride), None),
  lambda stride, _, cotangent: (_patches(cotangent, stride),),
)


class _Convolution(nn.Module):
  """What the two modules share.

  The parameters, `kernel` `[3, 3, in, features]` and `bias` `[features]`, and
  their initial values are those of the Flax module of that name, so that either
  reads the other's checkpoints. They are float32 in double precision too, and
  meet the input in the dtype to which Flax promotes the three.

  Attributes:
    features: output channels.
    stride: 1 or 2, along both axes.
  """

  features: int
  stride: int = 1

  def with_parameters(
    self, x: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`x`, the kernel and the bias, in one dtype."""
    features, dtype = self.features, jnp.float32
    shape = (3, 3, x.shape[-1], features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, dtype)
    bias = self.param("bias", nn.initializers.zeros, (features,), dtype)
    x, kernel, bias = promote_dtype(x, kernel, bias)
    return x, kernel, bias


def _add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
  return y + lax.expand_dims(bias, range(y.ndim - 1))


class Conv(_Convolution):
  """`nn.Conv(features, (3, 3), stride)`, faster on a CPU."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`[..., H, W, in]` -> `[..., H / stride, W / stride, features]`."""
    x, kernel, bias = self.with_parameters(x)
    return _add_bias(conv(x, kernel, self.stride), bias)


class ConvTranspose(_Convolution):
  """`nn.ConvTranspose(features, (3, 3), (stride, stride))`, faster on a CPU."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`[..., H, W, in]` -> `[..., stride H, stride W, features]`."""
    x, kernel, bias = self.with_parameters(x)
    return _add_bias(conv_transpose(x, kernel, self.stride), bias)
