"""3x3 transposed convolution, written as an ordinary convolution.

Along one axis, `jax.lax.conv_transpose` with stride 2, three taps and 'SAME'
padding inserts a zero between neighbouring inputs, pads two zeros before and
one behind, and correlates with the kernel w: output o sums

    w[k] xd[o + k - 2],  k = 0, 1, 2,  where xd[2 j] = x[j] and xd[2 j + 1] = 0.

Write o = 2 q + p with phase p in {0, 1}. A term survives where o + k is even,
that is k = 2 t - p for a tap t in {0, 1}, and then it reads x[q + t - 1]:

    y[2 q + p] = sum_t w[2 t - p] x[q + t - 1],  with w[-1] = 0.

So each phase is a two-tap convolution of x itself, padded by one zero before:
phase 0 has the taps (w[0], w[2]), phase 1 has (0, w[1]). In two dimensions, one
stride-1 convolution with a 2x2 kernel yields the four phases of C features as
4 C channels, and moving the phases into space interleaves them. The kernel is
re-arranged without arithmetic: put the zero w[-1] in front, so that w[2 t - p]
stands at place 2 t + (1 - p); split that place into (t, 1 - p); reverse the
second part.

It does 16/9 of the multiplications that count, but XLA's CPU backend runs the
gradient of a dilated convolution far slower than that of an ordinary one.

With stride 1 the same 'SAME' rule pads one zero on each side and leaves the
kernel as it is: the ordinary 'SAME' convolution.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


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
  if kernel.ndim != 4 or kernel.shape[:2] != (3, 3):
    raise ValueError(f"kernel must be [3, 3, in, out], not {kernel.shape}.")
  if stride not in (1, 2):
    raise ValueError(f"stride must be 1 or 2, not {stride}.")
  *batch, height, width, channels = x.shape
  x = x.reshape(-1, height, width, channels)
  if stride == 1:
    y = _conv(x, kernel, ((1, 1), (1, 1)))
  else:
    y = _conv(x, _phase_kernel(kernel), ((1, 0), (1, 0)))
    y = y.reshape(-1, height, width, 2, 2, kernel.shape[-1])
    y = y.transpose(0, 1, 3, 2, 4, 5)
  return y.reshape(*batch, stride * height, stride * width, kernel.shape[-1])


def _conv(x, kernel, padding):
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
  )


def _phase_kernel(kernel):
  """`[3, 3, in, out]` -> `[2, 2, in, 4 out]`, output channels (p, p', out)."""
  channels, features = kernel.shape[2:]
  padded = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
  taps = padded.reshape(2, 2, 2, 2, channels, features)[:, ::-1, :, ::-1]
  taps = taps.transpose(0, 2, 4, 1, 3, 5)  # t, t', in, p, p', out
  return taps.reshape(2, 2, channels, 4 * features)


class ConvTranspose(nn.Module):
  """`nn.ConvTranspose(features, (3, 3), padding='SAME')`, faster on a CPU.

  The parameters, `kernel` `[3, 3, in, features]` and `bias` `[features]`, their
  initial values and the outputs are those of the Flax module, so that either
  reads the other's checkpoints.

  Attributes:
    features: output channels.
    stride: 1 or 2, along both axes.
  """

  features: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`[..., H, W, in]` -> `[..., stride H, stride W, features]`."""
    kernel = self.param(
      "kernel",
      nn.initializers.lecun_normal(),
      (3, 3, x.shape[-1], self.features),
      jnp.float32,
    )
    bias = self.param(
      "bias", nn.initializers.zeros, (self.features,), jnp.float32
    )
    return conv_transpose(x, kernel, self.stride) + bias
