"""The training step: against PyTorch, against N(0, I), by K, I and devices."""

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from ml_collections import ConfigDict

from experiments import celeb_a_conv, mnist_conv, mnist_mlp
from experiments.benchmarks.measure import Row, Side, in_turn, ratio
from fmvae import data, experiment
from fmvae.data import Batch
from fmvae.experiment import Experiment
from fmvae.model import TrainState, init_prior, train_step
from fmvae.model import together as together_lib
from fmvae.networks import convolution

if TYPE_CHECKING:  # PyTorch is an extra
  from experiments.benchmarks.pytorch import Trainer

# Number, height, width and channels.
_IMAGES = {
  "conv28": (60_000, 28, 28, 1),
  "conv64": (600, 64, 64, 3),
  "mlp": (60_000, 28, 28, 1),
}
_STEP_SIZE = 0.01
_PRODUCT = 2048  # the side of matrices whose product has the machine's rate

Step = Callable[[TrainState, Batch], tuple[TrainState, Any]]


def pair28(factors: tuple[tuple[int, int], ...]) -> ConfigDict:
  """The paper's 28x28 pair, batch 64."""
  config = mnist_conv.get_config()
  config.factors = factors
  return config


def pair64() -> ConfigDict:
  """The paper's 64x64 pair, L = 128 in two factors, batch 16."""
  config = celeb_a_conv.get_config()
  config.latent_dim, config.factors = 128, ((64, 64), (64, 64))
  config.batch_size = 16
  return config


def assemble(
  config: ConfigDict, shape: tuple[int, ...] | None = None
) -> Experiment:
  """The experiment on random pixels, which take the time of any others.

  Args:
    config: of the experiment.
    shape: `[N, H, W, C]`, where it is not that of its network.
  """
  config.init_encodings = 4_096
  shape = _IMAGES[config.network.name] if shape is None else shape
  images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
  sets = [
    data.ImageSet(images[rows], {}, "random", split)
    for split, rows in (("train", slice(None)), ("test", slice(10)))
  ]
  return experiment.assemble(config, *sets)


def batch_of(exp: Experiment, step: int = 0) -> Batch:
  """The batch of a step, as the loop reads it."""
  config = exp.config
  return exp.train.batch(
    data.batch_indices(
      config.seed,
      step,
      num_data=len(exp.train),
      batch_size=config.batch_size,
    )
  )


def with_mixture(exp: Experiment) -> TrainState:
  """A state whose mixture begins at encodings."""
  phase = next(p for p in exp.phases if p.init_encodings)
  state = experiment.init(exp)
  return init_prior(exp.model, phase, state, exp.train.images)


def step_of(
  exp: Experiment, phase_name: str, axis_name: str | None = None
) -> Step:
  """The training step of a phase."""
  phase = next(p for p in exp.phases if p.name == phase_name)
  return functools.partial(train_step, exp.model, phase, axis_name=axis_name)


def compiled(step: Step, state: TrainState, batch: Batch) -> Any:
  """The step, which takes over its state."""
  return jax.jit(step, donate_argnums=0).lower(state, batch).compile()


def side(step: Step, state: TrainState, batch: Batch) -> Side:
  """A side that goes on from its last state."""
  return _going_on(compiled(step, state, batch), state, batch)


def _going_on(step: Any, state: TrainState, batch: Batch) -> Side:
  box = [jax.tree.map(jnp.copy, state)]

  def run() -> None:
    box[0], _ = step(box[0], batch)
    jax.block_until_ready(box[0])

  return run


def _flops(program: Any) -> float:
  return program.cost_analysis()["flops"]


def _bytes(program: Any) -> float:
  return program.cost_analysis()["bytes accessed"]


def step28(rounds: int) -> list[Row]:
  """One joint step of the 28x28 pair, K = 32, batch 64."""
  return _against_pytorch("conv28", pair28(((64, 32),)), rounds, times=10)


def step64(rounds: int) -> list[Row]:
  """One joint step of the 64x64 pair, batch 16."""
  return _against_pytorch("conv64", pair64(), rounds, times=2)


def _against_pytorch(
  name: str, config: ConfigDict, rounds: int, times: int
) -> list[Row]:
  from experiments.benchmarks import pytorch

  exp, state, batch, theirs = same_step(config)
  pictures = pytorch.images(batch.images, theirs.flat)
  step = compiled(step_of(exp, "joint"), state, batch)
  ours = _going_on(step, state, batch)
  product = _product(_PRODUCT)
  with nn.intercept_methods(_xla_convolution):
    plain = side(step_of(exp, "joint"), state, batch)
  times_ms = in_turn(
    {
      "ours": ours,
      "PyTorch": lambda: theirs.step(pictures),
      "plain": plain,
      "product": product,
    },
    rounds,
    times,
  )
  what = f"{name}, batch {config.batch_size}, joint step"
  ours_ms, pytorch_ms, plain_ms, product_ms = times_ms.values()
  share = _flops(step) / (2 * _PRODUCT**3)
  least_ms = [share * ms for ms in product_ms]
  return [
    Row(f"{what}: ours / PyTorch", ratio(ours_ms, pytorch_ms), "", 0.9),
    Row(f"{what}: ours", ours_ms, "ms"),
    Row(f"{what}: PyTorch", pytorch_ms, "ms"),
    Row(f"{what}: ours with XLA's own convolutions", plain_ms, "ms"),
    Row(f"{what}: its arithmetic at the rate of a product", least_ms, "ms"),
  ]


def same_step(
  config: ConfigDict, shape: tuple[int, ...] | None = None
) -> tuple[Experiment, TrainState, Batch, "Trainer"]:
  """A state and a batch of ours and PyTorch's trainer after the step on them.

  Args:
    config: of the experiment, without labels.
    shape: as for `assemble`.

  Raises:
    AssertionError: the two do not take the same step on the same draws.
  """
  import torch

  from experiments.benchmarks import pytorch

  config.svi.update(kappa=1.0, tau0=1e9, initial=_STEP_SIZE)  # constant
  config.learning_rate_decay = "none"
  exp = assemble(config, shape)
  state, batch = with_mixture(exp), batch_of(exp)

  def trainer(state: TrainState) -> pytorch.Trainer:
    return pytorch.Trainer(
      config,
      exp.spec.image_shape,
      state,
      num_data=len(exp.train),
      step_size=_STEP_SIZE,
    )

  theirs = trainer(state)
  latent, size = config.latent_dim, len(batch.images)
  key = jax.random.fold_in(state.key, state.step)
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(size))
  image_keys, noise_keys = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
  to_input = exp.model.preprocessing.input(training=True)
  x = jax.vmap(to_input)(image_keys, jnp.asarray(batch.images))
  noise = jax.vmap(lambda key: jax.random.normal(key, (latent,)))(noise_keys)
  new, info = jax.jit(step_of(exp, "joint"))(state, batch)
  bound = theirs.train(
    pytorch.images(x, theirs.flat), torch.from_numpy(np.array(noise))
  )
  np.testing.assert_allclose(float(bound), float(info["bound"]), rtol=1e-5)
  for ours, other in zip(new.prior.factors, theirs.prior.factors, strict=True):
    for name in "msabc":
      wanted = np.asarray(getattr(ours, name))
      close = np.abs(other[name].numpy() - wanted) / np.abs(wanted).max()
      assert close.max() < 1e-3, name
  # Adam's first step is the sign of a gradient; where that is nothing but
  # rounding, the two may differ.
  pairs = zip(theirs.parameters(), trainer(new).parameters(), strict=True)
  apart = [float((x - y).detach().abs().mean()) for x, y in pairs]
  assert max(apart) < 0.02 * config.learning_rate, max(apart)
  return exp, state, batch, theirs


def _xla_convolution(call, args, kwargs, context) -> Any:
  """Has Flax run its own layer in place of ours, with the same parameters."""
  layer: Any = {
    convolution.Conv: nn.Conv,
    convolution.ConvTranspose: nn.ConvTranspose,
  }.get(type(context.module))
  if layer is None or context.method_name != "__call__":
    return call(*args, **kwargs)
  ours, (x,) = context.module, args
  strides = (ours.stride, ours.stride)
  theirs = layer(ours.features, (3, 3), strides, parent=None)
  return theirs.apply({"params": ours.variables["params"]}, x)


def mixture(rounds: int) -> list[Row]:
  """The joint step against pre-training's, K = 64."""
  exp = assemble(pair28(((64, 64),)))
  state, batch = with_mixture(exp), batch_of(exp)
  joint, pretrain = step_of(exp, "joint"), step_of(exp, "pretrain")
  to_input = exp.model.preprocessing.input(training=True)

  def with_second_encoding(state, batch):
    new, info = pretrain(state, batch)
    keys = jax.random.split(state.key, len(batch.images))
    x = jax.vmap(to_input)(keys, batch.images)
    loc, log_var = exp.model.vae.encode(new.params, x)
    return new, info | {"again": jnp.mean(loc + log_var)}

  times = in_turn(
    {
      "mixture": side(joint, state, batch),
      "normal": side(pretrain, state, batch),
      "encoded twice": side(with_second_encoding, state, batch),
    },
    rounds,
    times=10,
  )
  ours, normal, twice = times.values()
  what = "conv28, batch 64, K = 64, mixture prior"
  return [
    Row(f"{what} / N(0, I)", ratio(ours, normal), "", 1.05),
    Row(f"{what} / N(0, I) that encodes twice too", ratio(ours, twice)),
    Row(f"{what}", ours, "ms"),
    Row("the same with N(0, I)", normal, "ms"),
  ]


def components(rounds: int) -> list[Row]:
  """The joint step by K and by I at L = 64."""
  shapes = {
    "I = 1, K = 1": ((64, 1),),
    "I = 1, K = 16": ((64, 16),),
    "I = 1, K = 256": ((64, 256),),
    "I = 1, K = 4096": ((64, 4096),),
    "I = 2, K = 256": ((32, 256),) * 2,
    "I = 5, K = 256": ((13, 256),) * 4 + ((12, 256),),
  }
  sides, flops = {}, {}
  for name, factors in shapes.items():
    exp = assemble(pair28(factors))
    state, batch = with_mixture(exp), batch_of(exp)
    joint = compiled(step_of(exp, "joint"), state, batch)
    flops[name] = _flops(joint)
    sides[name] = _going_on(joint, state, batch)
  times = in_turn(sides, rounds, times=5)
  first, last = times["I = 1, K = 1"], times["I = 1, K = 4096"]
  slope = [1000 * (b - a) / 4095 for a, b in zip(first, last, strict=True)]
  per_k = (flops["I = 1, K = 4096"] - flops["I = 1, K = 1"]) / 4095
  return [
    *(
      Row(f"conv28, joint step, {name}", ms, "ms") for name, ms in times.items()
    ),
    Row("slope from K = 1 to 4096", slope, "us a component"),
    Row(
      "multiplications and additions for each of B L K",
      [per_k / (exp.config.batch_size * exp.config.latent_dim)],
    ),
  ]


def waiting(rounds: int) -> list[Row]:
  """Reading a batch as a share of the step: the most that the step can wait."""
  rows, num = [], 50
  for pair, config in (
    ("MLP", mnist_mlp.get_config("k=128")),
    ("conv28", pair28(((64, 32),))),
  ):
    exp = assemble(config)
    run = side(step_of(exp, "joint"), with_mixture(exp), batch_of(exp))
    run()
    shares = []
    for turn in range(rounds):
      reading, begin = 0.0, time.perf_counter()
      for step in range(num * turn, num * (turn + 1)):
        asked = time.perf_counter()
        batch_of(exp, step)
        reading += time.perf_counter() - asked
        run()
      shares.append(100 * reading / (time.perf_counter() - begin))
    what = f"{pair} pair, batch 64: reading a batch as a share of a step"
    rows.append(Row(what, shares, "%", 1.0))
  return rows


def devices(rounds: int) -> list[Row]:
  """The pmapped joint step on 1, 2 and 4 virtual devices, one global batch."""
  exp = assemble(pair28(((64, 32),)))
  state, batch = with_mixture(exp), batch_of(exp)
  joint = step_of(exp, "joint", "devices")
  flops = {}

  def on(num: int) -> Side:
    step = jax.pmap(
      joint, "devices", devices=jax.devices()[:num], donate_argnums=0
    )
    parts = jax.tree.map(lambda x: x.reshape(num, -1, *x.shape[1:]), batch)
    box = [jax.tree.map(lambda x: jnp.stack([x] * num), state)]
    flops[num] = _flops(step.lower(box[0], parts).compile())

    def run() -> None:
      box[0], _ = step(box[0], parts)
      jax.block_until_ready(box[0])

    return run

  sides = {str(num): on(num) for num in (1, 2, 4)}
  times = in_turn(sides, rounds, times=5)
  rows = []
  for num in (2, 4):
    name = f"conv28, global batch 64: {num} devices / 1"
    rows += [
      Row(
        f"{name}, time on the same cores", ratio(times[str(num)], times["1"])
      ),
      Row(f"{name}, arithmetic of all devices", [num * flops[num] / flops[1]]),
    ]
  return rows


def together(rounds: int) -> list[Row]:
  """Steps a second of all runs, by how many take theirs in one program."""
  rows, per_call = [], 1 if jax.default_backend() == "cpu" else 50
  for name, config in (
    ("MLP pair, K = 128", mnist_mlp.get_config("k=128")),
    ("conv28, K = 512", pair28(((64, 512),))),
  ):
    exp = assemble(config)
    sides = {str(num): _together(exp, num, per_call) for num in (1, 4, 16)}
    for num, times in in_turn(sides, rounds, times=5).items():
      rate = [1000 * int(num) * per_call / ms for ms in times]
      rows.append(Row(f"{name}, batch 64, {num} together", rate, "steps/s"))
  return rows


def _together(exp: Experiment, num: int, per_call: int) -> Side:
  """Joint steps of `num` runs in one program."""
  joint = next(p for p in exp.phases if p.name == "joint")
  state, batch, one = with_mixture(exp), batch_of(exp), train_step
  if num > 1:
    state, one = together_lib.stack([state] * num), together_lib.step(one)
    batch = jax.tree.map(lambda x: np.stack([x] * num), batch)
  step = functools.partial(one, exp.model, joint)
  if per_call == 1:
    return side(step, state, batch)
  batches = jax.tree.map(lambda x: np.stack([x] * per_call), batch)
  return side(functools.partial(lax.scan, step), state, batches)


def accelerator(rounds: int) -> list[Row]:
  """Steps a second of both pairs by steps a call and precision."""
  rows = []
  for name, config in (("conv28", pair28(((64, 512),))), ("conv64", pair64())):
    config.batch_size = 64
    exp = assemble(config)
    state, joint = with_mixture(exp), step_of(exp, "joint")
    for precision in ("float32", "tensorfloat32", "bfloat16"):
      with jax.default_matmul_precision(precision):
        sides, per_call = {}, (1, 10, 50)
        for num in per_call:
          batches = [batch_of(exp, step) for step in range(num)]
          stacked = jax.tree.map(lambda *x: jnp.stack(x), *batches)
          several = functools.partial(lax.scan, joint)
          sides[str(num)] = side(several, state, stacked)
        times = in_turn(sides, rounds, times=2)
        one = compiled(joint, state, batch_of(exp))
      for num in per_call:
        rate = [1000 * num / ms for ms in times[str(num)]]
        what = f"{name}, batch 64, {precision}, {num} a call"
        rows.append(Row(what, rate, "steps/s"))
      what = f"{name}, {precision}, {per_call[-1]} a call"
      tera = [1e-12 * _flops(one) * r for r in rate]
      giga = [1e-9 * _bytes(one) * r for r in rate]
      rows.append(Row(f"{what}, arithmetic", tera, "TFLOP/s"))
      rows.append(Row(f"{what}, memory, as XLA counts it", giga, "GB/s"))
  return rows + _ceilings(rounds)


def _ceilings(rounds: int) -> list[Row]:
  """What the device multiplies and copies at most."""
  size, rows = 8192, []
  for precision in ("float32", "tensorfloat32", "bfloat16"):
    with jax.default_matmul_precision(precision):
      multiply = _product(size)
    ms = in_turn({"": multiply}, rounds, 3)[""]
    rate = [2e-9 * size**3 / t for t in ms]
    rows.append(Row(f"matrix product, {precision}", rate, "TFLOP/s"))
  long = jnp.ones(2**28)
  copy = jax.jit(lambda x: x + 1).lower(long).compile()
  ms = in_turn({"": _waited(copy, long)}, rounds, 3)[""]
  rows.append(Row("memory", [2e-6 * long.nbytes / t for t in ms], "GB/s"))
  return rows


def _product(size: int) -> Side:
  """A product of two square matrices."""
  x = jnp.ones((size, size))
  return _waited(jax.jit(lambda x: x @ x).lower(x).compile(), x)


def _waited(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> Side:
  return lambda: function(x).block_until_ready()
