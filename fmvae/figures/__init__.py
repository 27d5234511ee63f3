"""Pictures of results and of a trained model, one function a figure.

Each is loaded when it is first used, as Matplotlib loads slowly. To add a
figure: a file with its function, its lines here, and in `OF_A_RUN`.
"""

import ast
import importlib
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from fmvae.figures.clusters import cluster_samples
  from fmvae.figures.curves import elbo_curves
  from fmvae.figures.factors import factor_matrix
  from fmvae.figures.files import write
  from fmvae.figures.grids import component_grid, named_grids, other_named_grids
  from fmvae.figures.named import named_blocks, named_rows
  from fmvae.figures.samples import component_samples, mean_std_sample

__all__ = [
  "OF_A_RUN",
  "OF_A_TABLE",
  "cluster_samples",
  "component_grid",
  "component_samples",
  "describe",
  "elbo_curves",
  "factor_matrix",
  "get",
  "mean_std_sample",
  "named_blocks",
  "named_grids",
  "named_rows",
  "other_named_grids",
  "write",
]

_MODULES = {
  "cluster_samples": "clusters",
  "component_grid": "grids",
  "component_samples": "samples",
  "elbo_curves": "curves",
  "factor_matrix": "factors",
  "mean_std_sample": "samples",
  "named_blocks": "named",
  "named_grids": "grids",
  "named_rows": "named",
  "other_named_grids": "grids",
  "write": "files",
}
# By the paper's number or a name of its own: drawn from (model, state, key).
OF_A_RUN = {
  "1": "named_blocks",
  "4": "cluster_samples",
  "5": "mean_std_sample",
  "6": "named_rows",
  "8": "component_grid",
  "9": "named_grids",
  "10": "other_named_grids",
  "samples": "component_samples",
}
OF_A_TABLE = {"3": "elbo_curves"}  # drawn from the rows of a table


def get(name: str) -> Any:
  """The function of a figure, by its number or name."""
  return __getattr__((OF_A_RUN | OF_A_TABLE)[name])


def describe(name: str) -> str:
  """What a figure shows: the first line of its function's docstring.

  The module is read, not loaded.
  """
  function = (OF_A_RUN | OF_A_TABLE)[name]
  path = pathlib.Path(__file__).with_name(f"{_MODULES[function]}.py")
  (node,) = (
    node
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name == function
  )
  line = (ast.get_docstring(node) or "").splitlines()[0]
  return line.partition(": ")[2].removesuffix(".")


def __getattr__(name: str) -> Any:
  if name not in _MODULES:
    raise AttributeError(f"module 'fmvae.figures' has no attribute {name!r}")
  module = importlib.import_module(f"fmvae.figures.{_MODULES[name]}")
  return getattr(module, name)
