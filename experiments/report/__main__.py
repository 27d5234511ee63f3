"""Writes the tables of the documents.

  python -m experiments.report

README.md and experiments/results/README.md take theirs from the files under
experiments/results/ alone, BUILD_NOTES.md the one of equations from the
docstrings of fmvae. tests/test_report.py fails where they differ.
"""

import sys

from experiments.report.documents import all_written
from experiments.report.reading import ROOT
from fmvae.storage import write_text


def main() -> None:
  try:
    documents = all_written()
  except ValueError as error:
    sys.exit(f"error: {error}")
  for path, (before, after) in documents.items():
    if before != after:
      write_text(ROOT / path, after)
    print(f"{path}: {'as it was' if before == after else 'written'}")


if __name__ == "__main__":
  main()
