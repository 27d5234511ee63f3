"""The tables of the documents are what the files of results say."""

import pathlib
import re

import pytest

from experiments.report import bounds, equations
from experiments.report.documents import (
  DOCUMENTS,
  TABLES,
  all_written,
  written,
)

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = "experiments/results/README.md"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_document_is_as_written(path):
  before, after = all_written()[path]
  assert before == after, f"{path}: run python -m experiments.report"


def test_every_table_is_shown():
  text = "".join((ROOT / path).read_text() for path in DOCUMENTS)
  for name in TABLES:
    assert text.count(f"<!-- table: {name} -->") == 1, name


def test_notes_are_short():
  assert len((ROOT / "BUILD_NOTES.md").read_bytes()) < 12_000


def test_files_exist():
  text = (ROOT / RESULTS).read_text()
  commands = re.findall(r"(?:experiments|tests|fmvae)/[/\w]+\.(?:py|csv)", text)
  linked = re.findall(r"\]\(([^)]+)\)", text)
  assert len(commands) > 5
  assert len(linked) > 5
  for path in [ROOT / p for p in commands] + [
    (ROOT / RESULTS).parent / p for p in linked
  ]:
    assert path.exists(), path


class TestWritten:
  text = (
    "a\n<!-- table: x -->\nold\n<!-- end -->\nb <!-- tests -->\nc\n<!-- end -->"
  )

  def test_what_is_around_stays(self):
    once = written(self.text, {"x": lambda: "| 1 |\n| 2 |"})
    assert once == self.text.replace("\nold\n", "\n\n| 1 |\n| 2 |\n\n")
    assert written(once, {"x": lambda: "old"}) == self.text.replace(
      "\nold\n", "\n\nold\n\n"
    )

  def test_unknown_name(self):
    with pytest.raises(ValueError, match=r"tables are \['y'\], not \['x'\]"):
      written(self.text, {"y": lambda: ""})

  def test_no_end(self):
    with pytest.raises(ValueError, match="must have its"):
      written(self.text.replace("<!-- end -->", "", 1), {"x": lambda: ""})


def test_means_over_seeds():
  columns = ("start", "K", "seed", "cost", "used")
  rows = [
    dict(zip(columns, line.split(), strict=True))
    for line in (
      "k-means 16 0 1.0 15",
      "k-means 16 1 2.5 16",
      "random 16 0 4.0 3",
      "random 16 1 4.0 3",
    )
  ]
  assert bounds.mixture_init(rows).splitlines()[2:] == [
    "| k-means | 1.75, 15 to 16 |",
    "| random | 4.00, 3 |",
  ]


class TestEquations:
  @pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
      ("Eq. 13-14.", ["eq. 13", "eq. 14"]),
      (
        "Local terms (lines 4a-4c, eq. 8,\n  11).",
        ["eq. 4a", "eq. 4b", "eq. 4c", "eq. 8", "eq. 11"],
      ),
      ("Lines 4d and 4e before the 1/N.", ["eq. 4d", "eq. 4e"]),
      (
        "KL (App. C.1, C.3; Sec. 2.6-2.7).",
        ["App. C.1", "App. C.3", "Sec. 2.6", "Sec. 2.7"],
      ),
      (
        "Draws Figures 9 and 10, see App. F.",
        ["App. F", "Figure 9", "Figure 10"],
      ),
      ("As Table 1 (Sec. 4.2, 54 images).", ["Sec. 4.2", "Table 1"]),
      (
        "Eq. 5 or 6, App. B and a, eq. 12 to 14.",
        ["eq. 5", "eq. 6", "App. B", "eq. 12", "eq. 13", "eq. 14"],
      ),
      ("Nothing.\n\nAnother number than eq. 11.", []),
      ("About 8 lines, seq. 4 and figure it out.", []),
    ],
  )
  def test_references(self, docstring, wanted):
    assert sorted(equations.references(docstring)) == sorted(wanted)

  def test_a_range_must_be_one(self):
    with pytest.raises(ValueError, match="4a-12 is no range"):
      equations.references("Eq. 4a-12.")

  # Those of the model, eq. 1 to 3, are no computation. Eq. 7 is eq. 14, and
  # eq. 9 is p(x|X), whose estimate is that of the importance-sampled NLL.
  @pytest.mark.parametrize(
    "number",
    [
      *("4a", "4b", "4c", "4d", "4e"),
      *("5", "6", "7", "8", "9", "10", "11", "12", "13", "14"),
    ],
  )
  def test_equation_has_a_function(self, number):
    assert f"eq. {number}" in equations.named(), (
      f"no docstring of fmvae names eq. {number} in its first paragraph"
    )
