"""Tables of speed and of what a run survives."""

from experiments.benchmarks import measure
from experiments.report.reading import RESULTS, markdown, rows_of

_STEP64 = "conv64, batch 16, joint step"
_STEP28 = "conv28, batch 64, joint step"
_MLP = "MLP pair, K = 128, batch 64, 1,000 steps"
_MIXTURE = "conv28, batch 64, K = 64, mixture prior"
_FIRST_STEP = "process start to the end of step 1, MLP pair on MNIST"

# Of README.md: what, ours, what it is compared with and the ratio, the last
# three by what the rows of benchmarks.csv say.
_IN_README = (
  (
    "a training step of the paper's 64x64 pair, batch 16",
    f"{_STEP64}: ours",
    ("PyTorch", f"{_STEP64}: PyTorch"),
    f"{_STEP64}: ours / PyTorch",
  ),
  (
    "the 28x28 pair, K = 32, batch 64",
    f"{_STEP28}: ours",
    ("PyTorch", f"{_STEP28}: PyTorch"),
    f"{_STEP28}: ours / PyTorch",
  ),
  (
    "1,000 steps of the MLP pair, K = 128, batch 64, data and metrics included",
    f"{_MLP}: ours",
    ("PyTorch", f"{_MLP}: PyTorch"),
    f"{_MLP}: ours / PyTorch",
  ),
  (
    "the mixture prior, K = 64, in a step of the 28x28 pair",
    _MIXTURE,
    ("N(0, I)", "the same with N(0, I)"),
    f"{_MIXTURE} / N(0, I)",
  ),
  (
    "the same",
    _MIXTURE,
    ("N(0, I) that encodes twice, as Sec. 2.4 asks", ""),
    f"{_MIXTURE} / N(0, I) that encodes twice too",
  ),
  (
    "K = 4,096 components in it",
    "conv28, joint step, I = 1, K = 4096",
    ("one component", "conv28, joint step, I = 1, K = 1"),
    "",
  ),
  (
    "`prior.fit` on 1,000,000 points, K = 64, compilation included; new points"
    " are then as probable as after the other, or more",
    "ours, compilation included",
    (
      "scikit-learn on 100,000 of them",
      "BayesianGaussianMixture on 100,000 of them",
    ),
    "1,000,000 points, D = 16, K = 64: ours / scikit-learn",
  ),
  (
    "from the command to the first step, nothing compiled before",
    f"{_FIRST_STEP}, cold compilation cache",
    ("compiled before", f"{_FIRST_STEP}, warm"),
    "",
  ),
)


def speed() -> str:
  """Of README.md: ours against the others."""
  shown = {r["what"]: measure.shown(r) for r in _records()} | {"": ""}
  rows = []
  for what, ours, (name, theirs), ratio in _IN_README:
    other = f"{name} {shown[theirs]}".rstrip()
    rows.append([what, shown[ours], other, shown[ratio]])
  return markdown(("", "ours", "to compare", "ratio"), rows)


def benchmarks(name: str = "benchmarks") -> str:
  """Every comparison of a file, and below on what it was measured."""
  records = _records(name)
  lines = [*measure.HEAD, *map(measure.line, records)]
  comparisons: dict[str, list[str]] = {}
  for r in records:
    where = f"{r['machine']}; {r['packages']}; commit {r['commit']}"
    names = comparisons.setdefault(where, [])
    if r["comparison"] not in names:
      names.append(r["comparison"])
  for where, names in comparisons.items():
    lines += ["", f"{', '.join(f'`{n}`' for n in names)}: {where}."]
  return "\n".join(lines)


def faults() -> str:
  """A fault a row."""
  head = ("fault", "tried", "survived", "lost, steps", "")
  return markdown(head, ([*row.values()] for row in rows_of("faults.csv")))


def attacks() -> str:
  """An attack a row, before and after what it found was mended."""
  head = ("attack", "", "tried", "done as asked", "told", "failed")
  return markdown(head, ([*row.values()] for row in rows_of("attacks.csv")))


def _records(name: str = "benchmarks") -> list[measure.Record]:
  return measure.read(RESULTS / f"{name}.csv")
