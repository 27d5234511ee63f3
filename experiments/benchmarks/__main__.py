"""How fast it is, against what: every comparison, one after the other.

  pip install -e '.[benchmarks]'   # PyTorch, for the two steps
  python -m experiments.benchmarks
  python -m experiments.benchmarks --only=step28,mixture --rounds=3

Each comparison is a process of its own. Its sides first show that they compute
the same, then take turns, A B A B; the table has the median of the turns, and
the least and the largest. Leave the machine alone meanwhile.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl import app, flags, logging

from experiments.benchmarks.measure import Row, machine
from fmvae.storage import write_text
from fmvae.training import processes

# By name: the module that holds the function of that name.
COMPARISONS = {
  "step28": "training",
  "step64": "training",
  "mixture": "training",
  "components": "training",
  "waiting": "training",
  "devices": "training",
  "fitting": "fitting",
  "starting": "starting",
  "accelerator": "training",
}
_ON_A_GPU = ("accelerator",)  # left out unless --only names it
_ENVIRONMENT = {
  "devices": {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
}
_PACKAGES = ("jax", "flax", "optax", "torch", "scikit-learn")

_ONLY = flags.DEFINE_list("only", None, "Names of comparisons.")
_ROUNDS = flags.DEFINE_integer(
  "rounds", 7, "Turns of each side.", lower_bound=1
)
_OUT = flags.DEFINE_string("out", None, "A file of Markdown for the table.")
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
  lines = [
    f"On {machine(_PACKAGES)}; medians of {_ROUNDS.value} turns.",
    "",
    "| comparison | | median | least to largest | goal |",
    "|---|---|---|---|---|",
  ]
  print("\n".join(lines), flush=True)
  failed = []
  data_flags = (_DATA_DIR, _MANUAL_DIR)
  for name in names:
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
        failed.append(name)
        continue
      new = [Row(**row).markdown(name) for row in json.loads(path.read_text())]
    print("\n".join(new), flush=True)
    lines += new
  if _OUT.value:
    write_text(pathlib.Path(_OUT.value), "\n".join(lines) + "\n")
  if failed:
    sys.exit(f"error: {', '.join(failed)} did not get to the end, see above")


def _measure(name: str, path: pathlib.Path) -> None:
  logging.set_verbosity(logging.WARNING)
  processes.keep_memory()
  module = importlib.import_module(
    f"experiments.benchmarks.{COMPARISONS[name]}"
  )
  rows = getattr(module, name)(_ROUNDS.value)
  path.write_text(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
  app.run(main)
