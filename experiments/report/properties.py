"""Tables of named properties: rendered shapes and faces."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.reading import (
  Row,
  grouped,
  markdown,
  mean,
  percent,
  rows_of,
  values_of,
)

# What the paper prints for CelebA: assignments on the test set (Sec. 4.2) and
# what people saw in 54 generated faces (Table 1).
_PAPER_ASSIGNED = {"Male": 0.97, "Eyeglasses": 0.99, "Smiling": 0.91}
_PAPER_PEOPLE = {"Male": 0.94, "Eyeglasses": 0.85, "Smiling": 0.81}

_SHAPES = ("shape", "colour", "size")
_UNNAMED = ("frame", "background", "position")
_RELEASED = "the same, Delta 0 for the last third"


def shapes() -> str:
  """How often each named property is right, in five ways."""
  first = values_of("shapes/results.json")["named"]
  released = values_of("shapes/results_released.json")["named"]
  judge = values_of("shapes/judge.json")
  judge_released = values_of("shapes/judge_released.json")

  def row(what: str, of: Mapping[str, Any], part: str = "accuracy"):
    return [what, *(percent(of[name][part]) for name in _SHAPES)]

  return markdown(
    ("accuracy", *_SHAPES),
    [
      row("q(r\\|x) on test images", first),
      row(_RELEASED, released),
      row("the majority class there", first, "majority"),
      row("the classifier on test images", judge["real"]),
      row("the classifier on generated pictures", judge["generated"]),
      row(_RELEASED, judge_released["generated"]),
    ],
  )


def composition() -> str:
  """What each part of training for composition is worth, over seeds."""
  groups = grouped(rows_of("composition.csv"), "variant").items()

  def percents(rows: Sequence[Row], of: str) -> str:
    worst = max if of == "leak" else min
    columns = ([float(row[f"{of}/{name}"]) for row in rows] for name in _SHAPES)
    return " / ".join(
      f"{100 * statistics.fmean(column):.1f}"
      + (f" ({100 * worst(column):.1f})" if len(column) > 1 else "")
      for column in columns
    )

  lines = [
    (
      *(variant, str(len(rows)), mean(rows, "bound", 0)),
      *(percents(rows, of) for of in ("generated", "own", "leak")),
      *(mean(rows, f"nmi/{name}") for name in _UNNAMED),
      mean(rows, "steps_per_second", 0),
    )
    for variant, rows in groups
  ]
  head = (
    *("", "seeds", "bound", "generated", "own", "leak"),
    *(f"NMI {name}" for name in _UNNAMED),
    "steps/s",
  )
  return markdown(head, lines)


def data_sets() -> str:
  """What `experiments/own.py` makes of data of every kind."""
  rows = [
    (
      f"`{row['data']}`",
      row["chosen"].replace("; binarisation none", ""),
      row["seconds"],
      f"{row['bound_before']} to {row['bound']}" if row["bound"] else "",
      row["accuracy"],
      row["says"].replace("|", "\\|"),
    )
    for row in rows_of("data_sets.csv")
  ]
  head = ("data", "chosen to fit", "seconds", "test bound, nats", "", "says")
  return markdown(head, rows)


def shapes_unnamed() -> str:
  """The bound, and what the unnamed factors make of two properties."""
  rows = []
  for what, name in (
    ("Delta 3,000", "results"),
    (_RELEASED, "results_released"),
  ):
    found = values_of(f"shapes/{name}.json")
    rows.append(
      [
        *(what, f"{found['bound']:.1f}"),
        *(f"{found[f'nmi/{p}']:.2f}" for p in ("background", "frame")),
        *(f"{found[f'used/{i}']}, {found[f'kl_r/{i}']:.3f}" for i in (3, 4)),
      ]
    )
  head = ("", "bound", "NMI of the background", "of the frame")
  factors = (f"factor {i}: used of 16, KL[r]" for i in (3, 4))
  return markdown((*head, *factors), rows)


def celeb_a_assigned() -> str:
  """q(r|x) on test images, beside the paper."""
  named = values_of("celeb_a_named_cpu/results.json")["named"]
  parts = ("accuracy", "balanced_accuracy", "majority")
  head = ("property", "accuracy", "balanced", "majority class")
  return markdown(
    (*head, "paper (Sec. 4.2)"),
    (
      [name, *(percent(named[name][p]) for p in parts), percent(paper)]
      for name, paper in _PAPER_ASSIGNED.items()
    ),
  )


def celeb_a_generated() -> str:
  """What the classifier sees in generated faces, beside people in the paper."""
  judge = values_of("celeb_a_named_cpu/judge.json")
  rows = []
  for name, paper in _PAPER_PEOPLE.items():
    swapped = judge["swapped"][name]
    shares = (
      judge["real"][name]["balanced_accuracy"],
      judge["generated"][name]["accuracy"],
      paper,
      swapped["own"],
      swapped["leak"],
    )
    rows.append([name, *map(percent, shares)])
  head = ("property", "classifier on real, balanced", "on generated")
  people = "people on generated (paper, Table 1)"
  return markdown((*head, people, "own", "leak"), rows)


def kl_weight() -> str:
  """Both readings of the weight of KL[z], on rendered shapes."""
  names = {
    "theta, phi and the named factors (here)": "here",
    "gamma and SVI too (eq. 4 read literally)": "literal",
  }
  rows = []
  for what, name in names.items():
    found = {
      row["measure"]: float(row["value"])
      for row in rows_of(f"kl_weight_{name}.csv")
    }
    rows.append(
      [
        *(what, f"{found['bound']:.1f}", f"{found['kl_r']:.2f}"),
        " ".join(f"{found[f'used/{i}']:.0f}" for i in (3, 4)),
        *(percent(found[f"assigned/{name}"]) for name in _SHAPES),
        *(percent(found[f"generated/{name}"]) for name in _SHAPES),
      ]
    )
  head = ("W reaches", "bound", "KL[r]", "used, unnamed factors")
  assigned = (f"assigned {name}" for name in _SHAPES)
  generated = (f"generated {name}" for name in _SHAPES)
  return markdown((*head, *assigned, *generated), rows)
