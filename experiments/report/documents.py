"""The documents with their tables: between `<!-- table: NAME -->` and `end`."""

import functools
import re
from collections.abc import Callable, Mapping

from experiments.report import bounds, equations, properties, speed
from experiments.report.reading import ROOT

DOCUMENTS = ("README.md", "BUILD_NOTES.md", "experiments/results/README.md")
TABLES: Mapping[str, Callable[[], str]] = {
  "results": bounds.results,
  "priors": bounds.priors,
  "speed": speed.speed,
  "equations": equations.table,
  "figure 3, MNIST": functools.partial(bounds.figure3, "mnist"),
  "figure 3, Omniglot": functools.partial(bounds.figure3, "omniglot"),
  "figure 3, the paper's pair": functools.partial(
    bounds.figure3, "mnist", "figure3_conv_cpu"
  ),
  "single runs": bounds.single_runs,
  "what moves the bound": bounds.what_moves_the_bound,
  "pruning": bounds.pruning,
  "mixture init": bounds.mixture_init,
  "encode again": bounds.encode_again,
  "Omniglot choices": bounds.omniglot_choices,
  "Omniglot, the paper's pair": bounds.omniglot_pair,
  "importance": bounds.importance,
  "density": bounds.density,
  "collapse": bounds.collapse,
  "collapse, digits": bounds.collapse_digits,
  "choice": bounds.choice,
  "shapes": properties.shapes,
  "shapes, unnamed": properties.shapes_unnamed,
  "composition": properties.composition,
  "weight of KL[z]": properties.kl_weight,
  "CelebA, assigned": properties.celeb_a_assigned,
  "CelebA, generated": properties.celeb_a_generated,
  "data sets": properties.data_sets,
  "faults": speed.faults,
  "attacks": speed.attacks,
  "benchmarks": speed.benchmarks,
  "benchmarks, oldest jax": functools.partial(
    speed.benchmarks, "benchmarks_oldest"
  ),
}
_BEGIN, _END = "<!-- table: ", "<!-- end -->"
_MARKED = re.compile(rf"{_BEGIN}([^\n]*?) -->\n(?:(?!<!--).)*{_END}", re.DOTALL)


def written(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
  """A document with its tables written anew.

  Raises:
    ValueError: a table without its end, or of a name that is not known.
  """
  marked = _MARKED.findall(text)
  if len(marked) != text.count(_BEGIN):
    raise ValueError(f"each '{_BEGIN}NAME -->' must have its '{_END}'")
  unknown = sorted(set(marked) - set(tables))
  if unknown:
    raise ValueError(f"tables are {sorted(tables)}, not {unknown}")
  return _MARKED.sub(
    lambda match: f"{_BEGIN}{match[1]} -->\n\n{tables[match[1]]()}\n\n{_END}",
    text,
  )


def all_written() -> dict[str, tuple[str, str]]:
  """Every document by its path, as it is and as it should be.

  Raises:
    ValueError: markers that cannot be read, with the document's path.
  """
  out = {}
  for path in DOCUMENTS:
    text = (ROOT / path).read_text()
    try:
      out[path] = text, written(text)
    except ValueError as error:
      raise ValueError(f"{path}: {error}") from error
  return out
