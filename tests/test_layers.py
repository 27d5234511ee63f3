"""Imports look down: the floors of the house, from the ground up."""

import ast
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
FLOORS = (
  (
    "fmvae.prior",
    "fmvae.storage",
    "fmvae.extras",
    "fmvae.fields",
    "fmvae.importing",
  ),
  ("fmvae.networks", "fmvae.likelihoods", "fmvae.data", "fmvae.estimator"),
  ("fmvae.model",),
  ("fmvae.config",),
  ("fmvae.experiment",),
  ("fmvae.evaluation", "fmvae.figures"),
  ("fmvae.training",),
  ("fmvae.trained",),
  ("fmvae.explorer", "fmvae.programs", "fmvae.sweep"),
  ("launch",),
  ("experiments",),
)
FLOOR_OF = {name: i for i, floor in enumerate(FLOORS) for name in floor}


def modules():
  for folder in ("fmvae", "launch", "experiments"):
    for path in sorted((ROOT / folder).rglob("*.py")):
      parts = path.relative_to(ROOT).with_suffix("").parts
      yield ".".join(parts).removesuffix(".__init__"), path


def package_of(module):
  """The name on a floor that a module belongs to, None for others."""
  parts = module.split(".")
  names = [".".join(parts[:n]) for n in (2, 1)]
  return next((name for name in names if name in FLOOR_OF), None)


def imports_of(path, known):
  """The project's modules that a file imports, wherever it does."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      for alias in node.names:
        full = f"{node.module}.{alias.name}"
        yield full if full in known else node.module


def arrows():
  """(importing package, imported package), for every import between two."""
  known = dict(modules())
  found = set()
  for module, path in known.items():
    for imported in imports_of(path, known):
      pair = package_of(module), package_of(imported)
      if None not in pair and pair[0] != pair[1]:
        found.add(pair)
  return found


def test_every_module_has_a_floor():
  homeless = [m for m, _ in modules() if package_of(m) is None]
  assert homeless == ["fmvae"]


def test_no_import_looks_up_or_sideways():
  found = arrows()
  assert ("launch", "fmvae.training") in found
  wrong = [(a, b) for a, b in found if FLOOR_OF[b] >= FLOOR_OF[a]]
  assert not wrong, wrong


def test_the_prior_needs_jax_alone():
  known = dict(modules())
  outside = {
    name.partition(".")[0]
    for module, path in known.items()
    if module.startswith("fmvae.prior")
    for name in imports_of(path, known)
  }
  # NumPy comes with JAX.
  outside -= {"fmvae", *sys.stdlib_module_names}
  assert outside == {"jax", "numpy"}
