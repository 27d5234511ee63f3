"""How fast it is, against what: every comparison, one after the other.

  pip install -e '.[benchmarks]'   # PyTorch, for the two steps
  python -m experiments.benchmarks
  python -m experiments.benchmarks --only=step28,mixture --rounds=3
  python -m experiments.benchmarks --out=experiments/results/benchmarks.csv

Each comparison is a process of its own. Its sides first show that they compute
the same, then take turns, A B A B; the table has the median of the turns, and
the least and the largest. Leave the machine alone meanwhile. `--out` keeps the
rows of the comparisons that were not made.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl import app, flags, logging

from experiments.benchmarks import measure
from fmvae.training import host

# By name: the module that holds the function of that name.
COMPARISONS = {
  "step28": "training",
  "step64": "training",
  "mixture": "training",
  "components": "training",
  "waiting": "training",
  "programs": "programs",
  "watching": "programs",
  "devices": "training",
  "fitting": "fitting",
  "starting": "starting",
  "together": "training",
  "accelerator": "training",
}
_ON_A_GPU = ("accelerator", "together")  # left out unless --only names it
_ENVIRONMENT = {
  "devices": {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
}
_PACKAGES = ("jax", "flax", "optax", "torch", "scikit-learn")

_ONLY = flags.DEFINE_list("only", None, "Names of comparisons.")
_ROUNDS = flags.DEFINE_integer(
  "rounds", 7, "Turns of each side.", lower_bound=1
)
_OUT = flags.DEFINE_string("out", None, "A file of CSV for the rows.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "As of launch.train.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "As of launch.train.")
_CHILD = flags.DEFINE_string(
  "child", None, "Where to leave the rows of the comparison in --only."
)


def main(argv: list[str]) -> None:
  del argv
  names = _ONLY.value or [n for n in COMPARISONS if n not in _ON_A_GPU]
  unknown = sorted(set(names) - set(COMPARISONS))
  if unknown:
    sys.exit(f"error: --only takes {list(COMPARISONS)}, not {unknown}")
  if _CHILD.value:
    _measure(names[0], pathlib.Path(_CHILD.value))
    return
  out = pathlib.Path(_OUT.value) if _OUT.value else None
  if out:
    _check(out)
  setting = measure.setting(_PACKAGES)
  print(f"On {'; '.join(setting.values())}.\n", *measure.HEAD, sep="\n")
  failed = []
  for name in names:
    rows = _apart(name)
    if rows is None:
      failed.append(name)
      continue
    records = [row.record(name, setting) for row in rows]
    print(*map(measure.line, records), sep="\n", flush=True)
    if out:
      measure.replace(out, records)
  if failed:
    sys.exit(f"error: {', '.join(failed)} did not get to the end, see above")


def _check(out: pathlib.Path) -> None:
  """Ends the program unless the rows can be left in that file."""
  if not out.parent.is_dir():
    sys.exit(f"error: --out={out}: there is no folder {out.parent}")
  try:
    measure.read(out)
  except ValueError as error:
    sys.exit(f"error: --out: {error}")


def _apart(name: str) -> list[measure.Row] | None:
  """The rows of a comparison in a process of its own, None if that fails."""
  data_flags = (_DATA_DIR, _MANUAL_DIR)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "rows.json"
    code = subprocess.run(
      [
        *(sys.executable, "-m", "experiments.benchmarks"),
        f"--only={name}",
        f"--rounds={_ROUNDS.value}",
        f"--child={path}",
        *(f"--{f.name}={f.value}" for f in data_flags if f.value),
      ],
      env=os.environ | _ENVIRONMENT.get(name, {}),
    ).returncode
    if code:
      return None
    return [measure.Row(**row) for row in json.loads(path.read_text())]


def _measure(name: str, path: pathlib.Path) -> None:
  logging.set_verbosity(logging.WARNING)
  host.keep_memory()
  module = importlib.import_module(
    f"experiments.benchmarks.{COMPARISONS[name]}"
  )
  rows = getattr(module, name)(_ROUNDS.value)
  path.write_text(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
  app.run(main)
