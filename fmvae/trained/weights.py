"""A model to give away: config.json, data.json and weights.npz in a folder.

weights.npz has an array for each leaf of the `TrainState` but those of the
optimisers, by its path, such as 'params/encoder/Dense_0/kernel',
'prior/factors/0/m' or 'step'. Arrays of the networks are float16, as long as
they fit: half the size, for a bound that stays within 1e-4 nats (on MNIST, an
MLP pair). All others, those of the prior first of all, are kept as they are.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from fmvae import experiment as experiment_lib
from fmvae.experiment import Design
from fmvae.model import TrainState, pack, unpack
from fmvae.storage import replacing, write_json
from fmvae.training import records

RELEASED = pathlib.Path(__file__).parents[1] / "released"
_FILE = "weights.npz"
_NETWORKS = ("params/encoder/", "params/decoder/")


def names() -> list[str]:
  """Of the models that come with the package."""
  return sorted(path.parent.name for path in RELEASED.glob(f"*/{_FILE}"))


def are_in(folder: pathlib.Path) -> bool:
  """Whether a folder is that of a released model."""
  return (folder / _FILE).is_file()


def write(folder: pathlib.Path, design: Design, state: TrainState) -> None:
  """Makes the folder, or replaces the model in it.

  Raises:
    ValueError: it holds a run.
    OSError: it cannot be written.
  """
  if (folder / "checkpoints").exists():
    raise ValueError(f"{folder} holds a run; release the model to another one")
  folder.mkdir(parents=True, exist_ok=True)
  records.write_config(folder, design.config)
  write_json(folder / "data.json", dataclasses.asdict(design.spec))
  arrays: dict[str, Any] = {
    name: _halved(array) if name.startswith(_NETWORKS) else array
    for name, array in _by_path(jax.device_get(_kept(state))).items()
  }
  with replacing(folder / _FILE) as temporary:
    np.savez_compressed(temporary, **arrays)


def read(folder: pathlib.Path, design: Design) -> TrainState:
  """The state of a released model, without those of the optimisers.

  Raises:
    ValueError: the file is damaged, or of another model than config.json says.
  """
  path = folder / _FILE
  like = jax.eval_shape(lambda: _kept(experiment_lib.init(design)))
  wanted = _by_path(like)
  try:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
      found = {name: arrays[name] for name in arrays.files}
  except Exception as error:  # of any kind, from a damaged file
    what = " ".join(str(error).split())
    raise ValueError(f"{path} cannot be read ({what})") from error
  if {n: x.shape for n, x in found.items()} != {
    n: x.shape for n, x in wanted.items()
  }:
    raise ValueError(f"{path} must hold the model of its config.json")
  leaves = [found[name].astype(x.dtype) for name, x in wanted.items()]
  return unpack(jax.tree.unflatten(jax.tree.structure(like), leaves))


def _kept(state: TrainState) -> TrainState:
  return pack(state.replace(opt_state=None, named_opt_state=None))


def _by_path(tree: Any) -> dict[str, Any]:
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _halved(array: np.ndarray) -> np.ndarray:
  with np.errstate(over="ignore"):
    half = array.astype(np.float16)
  return half if np.isfinite(half).all() else array
