"""Writes a page about a run that a person can mail: curves, scores, figures.

  python -m launch.report --workdir=runs/shapes

The file, report.html in the folder of the run, is complete in itself. It shows
the figures that lie in that folder: launch.figures draws more.
"""

import sys

from absl import flags

from fmvae.storage import StorageError, storing, write_text
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_OUT = flags.DEFINE_string(
  "out",
  None,
  "The .html file to write. By default it is report.html, in the folder of the "
  "run.",
)


def main(argv: list[str]) -> None:
  """Reads the run's files and writes the page."""
  from fmvae.explorer import report

  try:
    common.set_up(argv)
    workdir = trained.workdir()
    if flags.FLAGS["checkpoint"].present:
      raise ValueError("--checkpoint is for no report, which has all steps")
    out = trained.page_to_write(_OUT.value, workdir / "report.html")
    page = report(workdir)
    with storing(out.parent, trained.ADVICE):
      write_text(out, page)
  except (OSError, StorageError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(f"written to {out}: {len(page) / 1e6:.1f} MB")


if __name__ == "__main__":
  common.run(main)
