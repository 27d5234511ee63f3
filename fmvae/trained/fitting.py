"""`fit`: from arrays to a trained model, by the code of `launch.train`."""

import contextlib
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae import data, importing
from fmvae import experiment as experiment_lib
from fmvae.trained.trained import Trained, load
from fmvae.training import loop

_STEPS = 8_000


def fit(
  images: Any,
  labels: Any = None,
  factors: Sequence[tuple[int, int]] | None = None,
  *,
  steps: int | Mapping[str, int] = _STEPS,
  test_fraction: float = 0.1,
  workdir: str | pathlib.Path | None = None,
  **fields: Any,
) -> Trained:
  """Trains a model on arrays, and tests it on a random part of them.

  The network, the likelihood and the binarisation that fit are chosen
  ('auto'), unless `fields` name them.

  Args:
    images: `[N, H, W, C]`, or `[N, H, W]` of one channel: uint8 from 0 to 255,
      or floats from 0 to 1. Numbers `[N, F]` are vectors.
    labels: what is known of them, by name, or one of it: `[N]` integers, -1
      where unknown, or strings, '' where unknown. A factor will stand for each.
    factors: (D, K) of each factor, those of the labels first; by default one
      for each label and one more.
    steps: of training in all, or of each phase as in `config.steps`; 0 of those
      that are not named.
    test_fraction: of the images.
    workdir: where the run is kept, and continued if it is there already; by
      default a temporary folder, of which nothing is left.
    **fields: of the config (`fmvae.config.default`); a dict changes the fields
      that it names, as in dataset={"binarisation": "static"}. A network (or
      its name), a likelihood or a prior may be a function or a class of a
      module of yours (`fmvae.networks`, `fmvae.likelihoods`,
      `fmvae.model.priors`).

  Raises:
    ValueError: images, labels or fields that are not right, in one sentence.
  """
  if not isinstance(test_fraction, float) or not 0 < test_fraction < 1:
    raise ValueError(f"test_fraction must be in (0, 1), got {test_fraction!r}")
  if labels is not None and not isinstance(labels, Mapping):
    labels = {"label": labels}
  whole = data.from_arrays(images, labels)
  config = _config(whole, factors, steps, fields, test_fraction)
  train, test = data.hold_out(
    data.fitted(whole, config_lib.make_fit(config)),
    config.dataset.test_fraction,
    config.dataset.split_seed,
  )
  experiment = experiment_lib.assemble(config, train, test)
  with contextlib.ExitStack() as stack:
    if workdir is None:
      workdir = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="fmvae-")
      )
    workdir = pathlib.Path(workdir)
    loop.prepare(experiment, workdir)
    loop.train(experiment, workdir)
    return load(workdir)


def _config(
  whole: data.ImageSet,
  factors: Sequence[tuple[int, int]] | None,
  steps: Any,
  fields: Mapping[str, Any],
  test_fraction: float,
) -> ConfigDict:
  """What the arguments of `fit` say, and for the rest what suits the images."""
  config = config_lib.default()
  values = {
    name: tuple(np.unique(known[known >= 0]).tolist())
    for name, known in whole.features.items()
  }
  if factors is None:
    of_labels = [(max(4, len(v) - 1), max(len(v), 1)) for v in values.values()]
    factors = (*of_labels, (16, 16))
  config.factors = factors
  with contextlib.suppress(TypeError, ValueError):  # which `validate` names
    config.latent_dim = sum(size for size, _ in factors)
  config.dataset.name = data.ARRAYS
  config.dataset.labels = tuple(
    (i, name, of) for i, (name, of) in enumerate(values.items())
  )
  config.dataset.test_fraction = test_fraction
  config.dataset.binarisation = config.likelihood = config_lib.AUTO
  config.network = {"name": config_lib.AUTO}
  config.learning_rate = 1e-3
  devices = jax.device_count()
  most = max(1, round((1 - test_fraction) * len(whole.images)))
  config.batch_size = max(1, min(64, most) // devices) * devices
  _override(config, fields)
  if isinstance(steps, Mapping):
    steps = dict.fromkeys(config.steps, 0) | dict(steps)
  elif not isinstance(steps, int):
    raise ValueError(
      f"steps must be an integer, or one for each phase, got {steps!r}"
    )
  else:
    pretrain, prior = (0 if values else steps // 2), steps // 8
    with contextlib.suppress(TypeError, ValueError):  # which `validate` names
      prior *= config_lib.make_prior(config).updates
    steps = {
      "pretrain": pretrain,
      "prior": prior,
      "joint": steps - pretrain - prior,
    }
  _override(config, {"steps": steps})
  config_lib.validate(config)
  return config


def _override(config: ConfigDict, fields: Mapping[str, Any]) -> None:
  fields = {name: _by_name(name, value) for name, value in fields.items()}
  for name, value in fields.items():
    if name not in config:
      raise ValueError(
        f"config.{name} is not a field; config has {sorted(config)}"
      )
    if isinstance(value, Mapping) and name != "network":
      for of, inner in value.items():
        if of not in config[name]:
          raise ValueError(
            f"config.{name}.{of} is not a field; config.{name} has "
            f"{sorted(config[name])}"
          )
        config[name][of] = inner
    else:
      config[name] = value


def _by_name(field: str, value: Any) -> Any:
  """A field with objects of a user by the names that a config has for them."""
  if field == "network":
    options = dict(value) if isinstance(value, Mapping) else {"name": value}
    if callable(options.get("name")):
      options["name"] = importing.name_of("network", options["name"])
    return options
  if field in ("likelihood", "prior") and callable(value):
    return importing.name_of(field, value)
  return value
