"""What wrong flags and damaged folders do.

  python -m experiments.studies.attacks --out=runs/attacks --times=100

Fields of the config and flags of every program are drawn at random, from values
of their own type and from values that no field takes; and something random
happens to a random file or folder of a run that was stopped halfway. The
program may then end well, having done what was asked for: the config that it
keeps is the one asked for, and all numbers are finite; a damaged run ends in
the arrays, the rows, the result and the picture of one that nothing happened
to. Or it ends with exit code 1 or 75 and one sentence. Everything else is a
failure: a traceback, another exit code, a program that ends neither within a
minute nor within another one after SIGTERM. Each failure is printed. `--times`
is how often each attack is tried, `--seed` draws others; the table goes to
attacks.csv.
"""

import sys

from absl import app, flags, logging

from experiments.studies.attacks import ATTACKS, Bench, attack
from experiments.studies.runs import new_folder, tabulate

_TIMES = flags.DEFINE_integer(
  "times", 100, "How often each attack is tried.", lower_bound=1
)
_ONLY = flags.DEFINE_multi_enum(
  "only", list(ATTACKS), list(ATTACKS), "The attacks to try."
)
_OUT = flags.DEFINE_string(
  "out", "runs/attacks", "The folder for the runs and the table."
)
_SEED = flags.DEFINE_integer("seed", 0, "The seed of all draws.")


def main(argv: list[str]) -> None:
  """Tries the attacks and writes the table."""
  del argv
  logging.set_verbosity(logging.WARNING)
  folder = new_folder("out", _OUT.value)
  bench = Bench(folder, folder / "data", _SEED.value)
  outcomes = (attack(bench, name, _TIMES.value) for name in _ONLY.value)
  rows = tabulate(folder / "attacks.csv", outcomes)
  sys.exit(int(any(row["failed"] for row in rows)))


if __name__ == "__main__":
  app.run(main)
