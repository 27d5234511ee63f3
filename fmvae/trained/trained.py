"""A trained model: what a user does with it, from a workdir alone."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae import data
from fmvae import experiment as experiment_lib
from fmvae.evaluation import score_images
from fmvae.evaluation.bound import progress
from fmvae.experiment import Design
from fmvae.model import Model, TrainState, model_at
from fmvae.model.model import slices
from fmvae.model.priors import Encoding
from fmvae.prior import PriorState
from fmvae.trained import export as export_lib
from fmvae.trained import weights
from fmvae.trained.factors import Components, Factor, choose, factors_of
from fmvae.training import records
from fmvae.training.checkpoints import Checkpoints

_AT_ONCE = 500  # images


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trained:
  """A model as it stood after some step of its training.

  Images go in as uint8 from 0 to 255 or as floats from 0 to 1, `[N, H, W, C]`,
  or `[N, H, W]` of one channel, any number of them; pictures come out as
  float32 from 0 to 1. Vectors are numbers `[N, F]`, in and out, in the units of
  those that it was trained on. What draws takes a `seed`, a number or a PRNG
  key: the same call gives the same result.

  Attributes:
    design: what its config describes.
    state: on one device.
  """

  design: Design
  state: TrainState

  @functools.cached_property
  def model(self) -> Model:
    """With the prior that is in effect at this step."""
    return model_at(self.design.model, self.design.phases, self.step)

  @property
  def config(self) -> ConfigDict:
    """The resolved config of the run."""
    return self.design.config

  @property
  def step(self) -> int:
    """How many steps it was trained for."""
    return int(self.state.step)

  @property
  def total(self) -> int:
    """How many steps its run has."""
    return self.design.phases[-1].end

  @functools.cached_property
  def factors(self) -> tuple[Factor, ...]:
    """The factors of z, their components and how these are used.

    Empty before the mixture begins, and under N(0, I).
    """
    return factors_of(self.model, self.state)

  def encode(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """q(z|x): its means and log variances, `[N, L]` each."""
    prepared, key = self._prepare(images), jax.random.key(0)

    def of(rows: slice) -> tuple[Array, Array]:
      return self.model.encode(self.state, prepared[rows], key, training=False)

    return _in_batches(of, len(prepared))

  def responsibilities(
    self, loc: np.ndarray, log_var: np.ndarray
  ) -> tuple[np.ndarray, ...]:
    """q(r|x) of encodings `[N, L]`, `[N, K_i]` of each factor (eq. 5).

    Raises:
      ValueError: there are no components.
    """
    self.require_factors()
    loc, log_var = self._as_z(loc, "loc"), self._as_z(log_var, "log_var")

    def of(rows: slice) -> tuple[Array, ...]:
      return _responsibilities(self.model, self.state, loc[rows], log_var[rows])

    return _in_batches(of, len(loc))

  def assign(self, images: Any) -> tuple[np.ndarray, ...]:
    """q(r|x): the probability of each component, `[N, K_i]` of each factor.

    Raises:
      ValueError: there are no components.
    """
    self.require_factors()
    return self.responsibilities(*self.encode(images))

  def codes(self, images: Any) -> np.ndarray:
    """The most responsible component of each factor, int `[N, I]`.

    Raises:
      ValueError: there are no components.
    """
    return _most(self.assign(images))

  def sample(
    self, num: int, components: Components | None = None, seed: int | Array = 0
  ) -> np.ndarray:
    """Pictures of z drawn from the prior (eq. 10), means of p(x|z).

    Args:
      num: of pictures.
      components: those that are not to be drawn: by the name or the number of
        a factor, as in {"shape": "disc", 3: 0}; or one for each factor, None
        where drawn. In place of one there may be `num`, and `codes` will do.
      seed: of the draw.

    Returns:
      `[num, H, W, C]`, or vectors `[num, F]`.

    Raises:
      ValueError: a factor or a component that there is none of.
    """
    if not isinstance(num, int | np.integer) or num < 1:
      raise ValueError(f"num must be an integer of at least 1, got {num!r}")
    chosen = None
    if components is not None:
      self.require_factors()
      chosen = choose(self.factors, components, num)
    z, _ = self.model.sample(self.state, _as_key(seed), (int(num),), chosen)
    return self.decode(z)

  def decode(self, z: Any) -> np.ndarray:
    """Pictures `[N, H, W, C]` or vectors `[N, F]`, means of p(x|z).

    Args:
      z: `[N, L]`.
    """
    z = self._as_z(z, "z")

    def of(rows: slice) -> Array:
      return self.model.render(self.state, z[rows])

    raw: np.ndarray = _in_batches(of, len(z))
    if self.design.spec.loc:
      return self.model.preprocessing.restore(raw)
    return self.model.to_unit(raw)

  def reconstruct(self, images: Any) -> np.ndarray:
    """`decode` of the means of q(z|x)."""
    return self.decode(self.encode(images)[0])

  def edit(self, images: Any, components: Components) -> np.ndarray:
    """Pictures of real images with some components changed, the rest kept.

    z_i of a changed factor is the mean of its new component; of all others it
    is the mean of q(z|x). A draw from the component, or the old offset from its
    mean, obeys less often.

    Args:
      images: to edit.
      components: as in `sample`; what is not named is kept, and so is z_i of an
        image that has the component already.

    Returns:
      `[N, H, W, C]`, or vectors `[N, F]`.

    Raises:
      ValueError: a factor or a component that there is none of.
    """
    self.require_factors()
    mixture = self.state.prior
    if not isinstance(mixture, PriorState):
      raise ValueError(
        "edit needs components with a mean, as those of config.prior = "
        f"'factorial_mixture' have, got {self.config.prior!r}"
      )
    loc, log_var = self.encode(images)
    chosen = choose(self.factors, components, len(loc))
    codes = _most(self.responsibilities(loc, log_var))
    parts = np.split(loc, np.cumsum(mixture.dims)[:-1], -1)
    for i, factor in enumerate(mixture.factors):
      change = (chosen[:, i] >= 0) & (chosen[:, i] != codes[:, i])
      parts[i][change] = np.asarray(factor.m)[chosen[change, i]]
    return self.decode(np.concatenate(parts, -1))

  def score(
    self, images: Any, *, num_samples: int = 1, seed: int | Array | None = None
  ) -> np.ndarray:
    """The bound of each image in nats (eq. 11), float64 `[N]`.

    That of a vector is of its standardised features, but for counts.

    Args:
      images: to score.
      num_samples: draws of z per image for the reconstruction term.
      seed: of these; by default the noise of `launch.evaluate`, so that the
        mean over the test set is the bound of results.json.
    """
    if not isinstance(num_samples, int) or num_samples < 1:
      raise ValueError(
        f"num_samples must be an integer of at least 1, got {num_samples!r}"
      )
    terms, _ = score_images(
      self.model,
      self.state,
      self._prepare(images),
      num_samples=num_samples,
      key=None if seed is None else _as_key(seed),
    )
    return np.asarray(terms.bound)

  def release(self, folder: str | pathlib.Path) -> None:
    """Makes a small folder of the model, which `load` takes as it does a run.

    See `fmvae.trained.weights` for its format: no training goes on from it.

    Args:
      folder: that is not a run's.
    """
    weights.write(pathlib.Path(folder), self.design, self.state)

  def export(
    self,
    folder: str | pathlib.Path,
    format: str = "jax",
    *,
    dtype: str = "uint8",
  ) -> list[str]:
    """Writes the encoder and the decoder for use without this package.

    The encoder takes images and gives `loc`, `log_var` and, of each factor that
    has components, `responsibilities_0` and so on; the decoder takes `z` and
    gives `images`, as `decode` does. The number of images is free. model.json
    has the shapes, the units, the factors and their components.

    Args:
      folder: takes encoder.jax, decoder.jax (or .onnx) and model.json.
      format: 'jax', programs for CPU, CUDA and TPU which
        `jax.export.deserialize` reads; or 'onnx'.
      dtype: of the pictures that the encoder takes, 'uint8' from 0 to 255 or
        'float32' from 0 to 1. Vectors are float32.

    Returns:
      The names of the files.

    Raises:
      ValueError: a format or dtype that there is none of, a network that cannot
        be exported, or no jax2onnx.
    """
    return export_lib.export(self, pathlib.Path(folder), format, dtype)

  def __repr__(self) -> str:
    spec = self.design.spec
    kind = f"images {'x'.join(map(str, spec.image_shape))}"
    if spec.loc:
      kind = f"vectors of {len(spec.loc)}"
    head = (
      f"Trained({self.config.dataset.name}, step {self.step} of {self.total}, "
      f"{kind}, L = {self.model.vae.latent_dim})"
    )
    return "\n  ".join([head, *map(repr, self.factors)])

  def _prepare(self, images: Any) -> np.ndarray:
    """uint8, binarised as test images are where the model is of such."""
    kept = data.to_images(images, like=self.design.spec.image_shape)
    if self.model.likelihood.counts and not data.are_counts(kept):
      raise ValueError("the vectors must be counts 0, 1, 2, ..")
    prepared: np.ndarray = self.model.preprocessing.prepare(
      kept, training=False
    )
    return prepared

  def _as_z(self, z: Any, name: str) -> np.ndarray:
    latent, found = self.model.vae.latent_dim, np.asarray(z)
    if found.ndim != 2 or found.shape[1] != latent or not len(found):
      raise ValueError(f"{name} must be [N, {latent}], got {list(found.shape)}")
    return found.astype(np.float32)

  def require_factors(self) -> None:
    """Raises ValueError where the prior has no components, or none yet."""
    if not self.model.prior.factors:
      starts = [p.start for p in self.design.phases if p.prior.factors]
      when = f"begins after step {starts[0]}" if starts else "never begins"
      raise ValueError(
        f"the run is at step {self.step}; its mixture {when}, and there are no "
        "components to name, draw or assign before"
      )


def load(
  workdir: str | pathlib.Path, checkpoint: int | str = "newest"
) -> Trained:
  """The model of a run, from its workdir alone, or one that comes along.

  Args:
    workdir: of a run that `launch.train` or `fmvae.fit` has made, or a folder
      that `Trained.release` has. Where there is no such folder, the name of a
      model that comes with the package, such as "mnist".
    checkpoint: 'newest', 'best' (by the bound on the validation images, or on
      the test set where there are none) or a step.

  Raises:
    ValueError: the workdir holds no run, or no such state.
  """
  if isinstance(workdir, str) and not pathlib.Path(workdir).exists():
    if workdir not in weights.names():
      raise ValueError(
        f"workdir {workdir} holds no run: it is not there. Name the --workdir "
        "that launch.train was given, or a model that comes with fmvae: "
        f"{', '.join(weights.names())}"
      )
    workdir = weights.RELEASED / workdir
  workdir = pathlib.Path(workdir)
  config = records.read_config(workdir)
  config_lib.named(
    f"{workdir / 'config.json'}: ", lambda: config_lib.validate(config)
  )
  spec = records.read_data(workdir)
  design = config_lib.named(
    f"{workdir / 'data.json'}: ", lambda: experiment_lib.from_spec(config, spec)
  )
  if not weights.are_in(workdir):
    return Trained(design, _restore(design, workdir, checkpoint))
  if checkpoint != "newest":
    raise ValueError(
      f"checkpoint must be 'newest' of a released model, got {checkpoint!r}"
    )
  return Trained(design, weights.read(workdir, design))


def _restore(
  design: Design, workdir: pathlib.Path, which: int | str
) -> TrainState:
  like = jax.eval_shape(lambda: experiment_lib.init(design))
  with Checkpoints(workdir, config=design.config) as checkpoints:
    steps, step = checkpoints.steps(), None
    if which == "best":
      step = checkpoints.best_step(like)
    elif which != "newest":
      if str(which) not in map(str, steps):
        raise ValueError(
          "checkpoint must be 'newest', 'best' or one of the steps "
          f"{steps}, got {which}"
        )
      step = int(which)
    return checkpoints.restore(like, step).state


def _most(resp: Sequence[np.ndarray]) -> np.ndarray:
  return np.stack([np.argmax(gamma, -1) for gamma in resp], -1)


def _as_key(seed: int | Array) -> Array:
  return seed if isinstance(seed, Array) else jax.random.key(seed)


def _in_batches(of: Callable[[slice], Any], num: int) -> Any:
  """What `of` makes of so many rows at a time, joined, as NumPy arrays."""
  parts = []
  with progress(num, "image") as bar:
    for rows in slices(num, _AT_ONCE):
      parts.append(jax.device_get(of(rows)))
      bar.update(min(rows.stop, num) - rows.start)
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)


@functools.partial(jax.jit, static_argnums=0)
def _responsibilities(model: Model, state: TrainState, loc, log_var):
  encoding = Encoding(loc, log_var, jnp.exp(log_var), loc)
  return model.prior.costs(model.variables_of(state), encoding, None).resp
