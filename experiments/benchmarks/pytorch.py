"""The joint training step in PyTorch, written as one would write it there.

The same networks, prior, loss, Adam and natural-gradient step as
`fmvae.model.train_step` in the joint phase, eager, in the channels-last layout,
which is faster on a CPU. Flax pads the bottom and right edge of a convolution
of stride 2, PyTorch the top and left one: the mirror image of one network is
the other, so `load` mirrors the kernels and `images` the pictures.
"""

import csv
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from fmvae.model import TrainState

_LOG_2PI = 1.8378770664093453


class _Pad(nn.Module):
  """7x7 to 8x8."""

  def forward(self, x: Tensor) -> Tensor:
    return F.pad(x, (1, 0, 1, 0))


class _Crop(nn.Module):
  """8x8 to 7x7."""

  def forward(self, x: Tensor) -> Tensor:
    return x[..., 1:, 1:]


def _conv(channels: int, features: int, stride: int = 1) -> list[nn.Module]:
  return [nn.Conv2d(channels, features, 3, stride, 1), nn.ReLU()]


def _conv_transpose(
  channels: int, features: int, stride: int = 1
) -> list[nn.Module]:
  layer = nn.ConvTranspose2d(channels, features, 3, stride, 1, stride - 1)
  return [layer, nn.ReLU()]


def conv28(latent_dim: int) -> tuple[nn.Sequential, nn.Sequential]:
  """Encoder and decoder of `networks/conv28.py`."""
  encoder, channels = [], 1
  for features, stride in ((32, 1), (32, 2), (32, 1), (64, 2)):
    encoder += _conv(channels, features, stride)
    channels = features
  encoder.append(_Pad())
  for stride in (1, 2, 1, 1):
    encoder += _conv(64, 64, stride)
  encoder += [nn.Flatten(), nn.Linear(1024, 2 * latent_dim)]
  decoder: list[nn.Module] = [nn.Linear(latent_dim, 1024), nn.ReLU()]
  decoder.append(nn.Unflatten(1, (64, 4, 4)))
  for stride in (1, 1, 2, 1):
    decoder += _conv_transpose(64, 64, stride)
  decoder.append(_Crop())
  for channels, stride in ((64, 2), (32, 1), (32, 2)):
    decoder += _conv_transpose(channels, 32, stride)
  decoder += _conv_transpose(32, 1)[:1]
  return nn.Sequential(*encoder), nn.Sequential(*decoder)


def conv64(
  latent_dim: int, width: int, side: int
) -> tuple[nn.Sequential, nn.Sequential]:
  """Encoder and decoder of `networks/conv64.py`, for 64x64 or 32x32 RGB."""
  widths = [width, 2 * width, 4 * width, 8 * width][: 4 if side == 64 else 3]
  encoder, channels = [], 3
  for features in widths:
    encoder += _conv(channels, features, 2)
    channels = features
  encoder += [nn.Flatten(), nn.Linear(16 * channels, 2 * latent_dim)]
  decoder: list[nn.Module] = [nn.Linear(latent_dim, 16 * channels), nn.ReLU()]
  decoder.append(nn.Unflatten(1, (channels, 4, 4)))
  for features in widths[:0:-1]:
    decoder += _conv_transpose(channels, features, 2)
    channels = features
  decoder += _conv_transpose(channels, 6, 2)[:1]
  return nn.Sequential(*encoder), nn.Sequential(*decoder)


def mlp(
  latent_dim: int, hidden: Sequence[int], pixels: int
) -> tuple[nn.Sequential, nn.Sequential]:
  """Encoder and decoder of `networks/mlp.py`, of flat images."""

  def network(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
      layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])

  return (
    network(pixels, *hidden, 2 * latent_dim),
    network(latent_dim, *reversed(hidden), pixels),
  )


def load(network: nn.Sequential, params: Mapping[str, Any]) -> None:
  """Takes over the parameters of a Flax encoder or decoder."""
  layers: list[Any] = [x for x in network if [*x.parameters()]]
  names = sorted(params, key=lambda name: ("Dense" in name, name))
  flat = all(isinstance(layer, nn.Linear) for layer in layers)
  is_decoder = isinstance(layers[0], nn.Linear)
  if is_decoder and not flat:
    names = [names[-1], *names[:-1]]
  for layer, name in zip(layers, names, strict=True):
    kernel, bias = (np.array(params[name][x]) for x in ("kernel", "bias"))
    if flat:
      kernel = kernel.T
    elif isinstance(layer, nn.Conv2d):
      kernel = kernel[::-1, ::-1].transpose(3, 2, 0, 1)
    elif isinstance(layer, nn.ConvTranspose2d):  # its taps run backwards
      kernel = kernel.transpose(2, 3, 0, 1)
    elif is_decoder:
      kernel = _mirrored_features(kernel)
      bias = _mirrored_features(bias[None])[0]
      kernel = kernel.T
    else:
      kernel = _mirrored_features(kernel.T)
    with torch.no_grad():
      layer.weight.copy_(torch.from_numpy(kernel.copy()))
      layer.bias.copy_(torch.from_numpy(bias.copy()))


def _mirrored_features(x: np.ndarray) -> np.ndarray:
  """The last axis from (4, 4, C) to (C, 4, 4), mirrored."""
  x = x.reshape(len(x), 4, 4, -1)[:, ::-1, ::-1]
  return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def images(x: Any, flat: bool = False) -> Tensor:
  """Flax's `[B, H, W, C]` as PyTorch's: mirrored `[B, C, H, W]`, or flat."""
  if flat:
    return torch.from_numpy(np.array(x).reshape(len(x), -1))
  mirrored = np.asarray(x)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
  return torch.from_numpy(mirrored.copy()).contiguous(
    memory_format=torch.channels_last
  )


class Prior:
  """The mixtures' posterior, eq. 4-6, 13 and 14."""

  def __init__(self, state: TrainState, num_data: int, step_size: float):
    self.h = state.prior.hyperprior
    self.num_data, self.rho = num_data, step_size
    self.factors = [
      {name: torch.from_numpy(np.array(getattr(f, name))) for name in "msabc"}
      for f in state.prior.factors
    ]
    self.dims = list(state.prior.dims)

  def _parts(
    self, loc: Tensor, log_var: Tensor
  ) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor]]:
    dims = self.dims
    return zip(
      self.factors, loc.split(dims, -1), log_var.split(dims, -1), strict=True
    )

  def _expected(self, f: dict[str, Tensor], loc: Tensor, var: Tensor) -> Tensor:
    """Eq. 6."""
    precision = f["a"] / f["b"]
    quad = (
      (loc**2 + var) @ precision.T
      - 2 * loc @ (precision * f["m"]).T
      + (precision * f["m"] ** 2).sum(-1)
    )
    log_precision = torch.digamma(f["a"]) - torch.log(f["b"])
    normaliser = (log_precision - 1 / f["s"] - _LOG_2PI).sum(-1)
    return 0.5 * (normaliser - quad)

  def _log_weights(self, f: dict[str, Tensor]) -> Tensor:
    return torch.digamma(f["c"]) - torch.digamma(f["c"].sum())

  def costs(self, loc: Tensor, log_var: Tensor) -> Tensor:
    """KL[z] + KL[r] of each image, at the optimal responsibilities."""
    total = torch.zeros(())
    for f, mu, lv in self._parts(loc, log_var):
      expected = self._expected(f, mu, lv.exp())
      log_weights = self._log_weights(f)
      log_gamma = torch.log_softmax(expected.detach() + log_weights, -1)
      gamma = log_gamma.exp()
      kl_z = -0.5 * (lv + 1 + _LOG_2PI).sum(-1) - (gamma * expected).sum(-1)
      kl_r = (gamma * (log_gamma - log_weights)).sum(-1)
      total = total + kl_z + kl_r
    return total

  @torch.no_grad()
  def update(self, loc: Tensor, log_var: Tensor) -> None:
    """Eq. 13 and 14, in the natural parameters of eq. 12."""
    h, rho, weight = self.h, self.rho, self.num_data / len(loc)
    for f, mu, lv in self._parts(loc, log_var):
      var = lv.exp()
      logits = self._expected(f, mu, var) + self._log_weights(f)
      gamma = torch.softmax(logits, -1)
      count = weight * gamma.sum(0)
      n = count[:, None]
      first = weight * gamma.T @ mu
      second = weight * gamma.T @ (mu**2 + var)
      new = [
        (1 - rho) * old + rho * target
        for old, target in (
          (f["a"], h.a0 + 0.5 * n),
          (
            f["b"] + 0.5 * f["s"] * f["m"] ** 2,
            h.b0 + 0.5 * (h.s0 * h.m0**2 + second),
          ),
          (f["s"] * f["m"], h.s0 * h.m0 + first),
          (f["s"], h.s0 + n),
          (f["c"], h.c0 + count),
        )
      ]
      a, b, s_m, s, c = new
      m = s_m / s
      f.update(m=m, s=s, a=a, b=b - 0.5 * s * m**2, c=c)


class Trainer:
  """A model and its optimiser, from a state of ours and the config of it.

  Pixels are binary, or continuous for the 64x64 pair.
  """

  def __init__(
    self,
    config: ConfigDict,
    image_shape: tuple[int, ...],
    state: TrainState,
    *,
    num_data: int,
    step_size: float,
  ):
    latent_dim, options = config.latent_dim, config.network.to_dict()
    name = options.pop("name")
    self.flat = name == "mlp"
    self.binarisation = config.dataset.binarisation
    self.latent_dim, self.batch_size = latent_dim, config.batch_size
    networks = {
      "conv28": lambda: conv28(latent_dim),
      "conv64": lambda: conv64(latent_dim, side=image_shape[0], **options),
      "mlp": lambda: mlp(latent_dim, pixels=math.prod(image_shape), **options),
    }[name]()
    for network, part in zip(networks, ("encoder", "decoder"), strict=True):
      load(network, state.params[part])
    self.encoder, self.decoder = (
      network.to(memory_format=torch.channels_last) for network in networks
    )
    self.prior = Prior(state, num_data, step_size)
    self.optimizer = torch.optim.Adam(self.parameters(), config.learning_rate)

  def parameters(self) -> list[Tensor]:
    """theta and phi."""
    return [*self.encoder.parameters(), *self.decoder.parameters()]

  def step(self, batch: Tensor) -> Tensor:
    """Draws what is random and trains on uint8 images, as `images` has them."""
    if self.binarisation == "dynamic":
      x = (torch.rand(batch.shape) < batch / 255).float()
    elif self.binarisation == "threshold":
      x = (batch > 127).float()
    else:
      x = batch.float() / 127.5 - 1
    return self.train(x, torch.randn(len(batch), self.latent_dim))

  def train(self, x: Tensor, noise: Tensor) -> Tensor:
    """Steps 1 to 3 of Sec. 2.4; the bound before them, in nats per image."""
    loc, log_var = self.encoder(x).chunk(2, -1)
    z = loc + torch.exp(0.5 * log_var) * noise
    raw = self.decoder(z)
    if self.binarisation != "none":
      log_prob = -F.binary_cross_entropy_with_logits(raw, x, reduction="none")
    else:
      mean, scale = raw.chunk(2, 1)
      std = 0.001 + 0.399 * torch.sigmoid(scale)
      log_prob = -0.5 * (((x - mean) / std) ** 2 + _LOG_2PI) - torch.log(std)
    bound = log_prob.flatten(1).sum(1) - self.prior.costs(loc, log_var)
    bound = bound.mean()
    self.optimizer.zero_grad()
    (-bound).backward()
    self.optimizer.step()
    with torch.no_grad():
      loc, log_var = self.encoder(x).chunk(2, -1)
    self.prior.update(loc, log_var)
    return bound.detach()

  def run(
    self, data: Tensor, steps: int, log_every: int, log: pathlib.Path
  ) -> Iterator[None]:
    """Trains on shuffled batches of a file of images in memory.

    Leaves a row of CSV with the mean bound after every so many steps, and lets
    the caller look at the clock.
    """
    order, bounds = torch.zeros(0, dtype=torch.long), []
    with log.open("w") as file:
      rows = csv.writer(file)
      for step in range(1, steps + 1):
        if len(order) < self.batch_size:
          order = torch.randperm(len(data))
        rows_of, order = order.split(
          [self.batch_size, len(order) - self.batch_size]
        )
        bounds.append(self.step(data[rows_of]))
        if step % log_every == 0:
          rows.writerow([step, float(torch.stack(bounds).mean())])
          file.flush()
          bounds.clear()
          yield
