"""Tables of test bounds: Figure 3, and what moves the bound."""

import statistics
from collections.abc import Sequence

from experiments.report.reading import (
  Row,
  grouped,
  markdown,
  mean,
  rows_of,
  spread,
  values_of,
)

_IN_README = ("1", "16", "128", "512")  # K
_BINARISATIONS = {
  "static": "one Bernoulli draw",
  "dynamic": "a new draw each training step, one for the test",
  "threshold 0.5": "threshold 0.5",
  "threshold 0.25": "threshold 0.25",
}
_PRIORS = {  # of experiments/sweeps/density.py, in the table's order
  "standard_normal": "N(0, I)",
  "gaussian_mixture": "mixture trained by gradients, K = 500",
  "vamp": "VampPrior, K = 500",
  "factors1": "the paper's, I = 1, K = 500",
  "factors2": "the paper's, I = 2, K = 250",
  "factors4": "the paper's, I = 4, K = 125",
}


def _by_k(dataset: str, sweep: str) -> dict[str, list[Row]]:
  rows = rows_of(f"{sweep}/table.csv")
  return grouped(grouped(rows, "dataset")[dataset], "K")


def results() -> str:
  """Of README.md: the bound, its costs and the components used, by K."""
  head, points = ["K"], []
  for name, dataset in (("MNIST", "mnist"), ("Omniglot", "omniglot")):
    head += [f"{name} bound", "KL[z]", "KL[r]", "used"]
    points.append(_by_k(dataset, "figure3_mlp"))
  rows = []
  for k in _IN_README:
    cells = [k]
    for by_k in points:
      cells += [mean(by_k[k], c) for c in ("bound", "kl_z", "kl_r")]
      cells.append(spread(by_k[k], "used", 0))
    rows.append(cells)
  return markdown(head, rows)


def figure3(dataset: str, sweep: str = "figure3_mlp") -> str:
  """Every K of one data set, means over seeds."""
  parts = ("reconstruction", "kl_z", "kl_r", "kl_global")
  scores = {"perplexity": 1, "acc": 2, "nmi": 2, "ari": 2, "seconds": 0}
  rows = []
  for k, seeds in _by_k(dataset, sweep).items():
    name = k or f"N(0, I), {int(seeds[0]['pretrain_steps']):,} steps"
    rows.append(
      [
        *(name, mean(seeds, "bound"), spread(seeds, "bound")),
        *(mean(seeds, part) for part in (parts if k else parts[:2])),
        *(() if k else ("", "")),  # without a mixture there are none
        spread(seeds, "used", 0),
        *(mean(seeds, score, digits) for score, digits in scores.items()),
      ]
    )
  head = ("K", "bound", "least to largest", "reconstruction", "KL[z]", "KL[r]")
  more = ("global KL", "used", "perplexity", "ACC", "NMI", "ARI", "seconds")
  return markdown((*head, *more), rows)


def what_moves_the_bound() -> str:
  """One change a row."""
  head = ("change", "bound", "reconstruction", "KL[z]", "KL[r]", "used")
  rows = rows_of("what_moves_the_bound.csv")
  return markdown((*head, "perplexity"), ([*r.values()] for r in rows))


def pruning() -> str:
  """A step size a row: components used and cost, by updates."""
  by_size = grouped(rows_of("pruning.csv"), "step_size")
  updates = [int(r["updates"]) for r in next(iter(by_size.values()))]
  return markdown(
    ["step size from", *(f"{n:,} updates: used, cost" for n in updates)],
    (
      [size, *(f"{r['used']}, {r['cost']}" for r in rows)]
      for size, rows in by_size.items()
    ),
  )


def mixture_init(rows: Sequence[Row] | None = None) -> str:
  """A start a row, by K: cost, mean over seeds, and components used."""
  rows = rows_of("mixture_init.csv") if rows is None else rows
  head = [f"K = {k}: cost, used" for k in grouped(rows, "K")]
  return markdown(
    ["start", *head],
    (
      [
        start,
        *(
          f"{mean(seeds, 'cost')}, {spread(seeds, 'used', 0)}"
          for seeds in grouped(of_start, "K").values()
        ),
      ]
      for start, of_start in grouped(rows, "start").items()
    ),
  )


def encode_again() -> str:
  """What step 3 loses by the encodings of the gradient step."""
  points = [row for row in rows_of("encode_again.csv") if row["K"]]
  runs, rows = grouped(points, "run"), []
  for name in ("mnist", "shapes"):
    again, once = runs[f"{name}_again"], runs[f"{name}_once"]
    lost = [
      f"{float(b['bound']) - float(a['bound']):+.2f}"
      for a, b in zip(again, once, strict=True)
    ]
    rows.append(
      [
        *(name, mean(again, "bound"), mean(once, "bound"), ", ".join(lost)),
        *(mean(again, "kl_r"), mean(once, "kl_r")),
      ]
    )
  head = ("", "bound, encoded again", "once", "difference by seed")
  return markdown((*head, "KL[r], encoded again", "once"), rows)


def omniglot_choices() -> str:
  """The bound by binarisation and split."""
  found = {
    (row["binarisation"], row["split"].partition(" ")[0]): row["bound"]
    for row in rows_of("omniglot_choices.csv")
  }
  return markdown(
    ("binarisation", "official split", "random 24,345/8,070"),
    (
      [name, *(f"{float(found[kind, s]):.2f}" for s in ("official", "random"))]
      for kind, name in _BINARISATIONS.items()
    ),
  )


def omniglot_pair() -> str:
  """The paper's pair on Omniglot's random split."""
  rows = []
  points = rows_of("figure3_conv_cpu/table.csv")
  for row in grouped(points, "dataset")["omniglot"]:
    parts = ("bound", "reconstruction", "kl_z", "kl_r")
    rows.append(
      [
        _BINARISATIONS[row["binarisation"]],
        f"K = {row['K']}" if row["K"] else "N(0, I)",
        *(f"{_steps(row):,}", *(mean([row], part) for part in parts)),
        row["used"],
      ]
    )
  head = ("binarisation", "prior", "steps", "bound", "reconstruction", "KL[z]")
  return markdown((*head, "KL[r]", "used"), rows)


def single_runs() -> str:
  """Runs of one config and seed."""
  rows = []
  for name, file in (
    ("digits, K = 20", "digits/results.json"),
    ("MNIST, MLP pair, K = 128", "mnist_mlp/results.json"),
    ("MNIST, N(0, I), static training draw", "mnist_mlp/static.json"),
    ("MNIST, N(0, I), literature's setting", "density/results.json"),
    ("the same, I = 1, K = 500", "density/dynamic/results.json"),
    ("the same on the static draw", "density/static/results.json"),
    ("MNIST, N(0, I), the paper's pair", "figure3_conv_cpu/normal.json"),
  ):
    found = values_of(file)
    kl_z, kl_r = found["kl_z"], found["kl_r"]
    parts = (found["reconstruction"], kl_z, kl_r)
    rows.append(
      [
        *(name, f"{found['step']:,}", _with_error(found, "bound")),
        *(f"{part:.2f}" for part in parts),
        str(found.get("used", "")),
      ]
    )
  head = ("run", "steps", "bound", "reconstruction", "KL[z]", "KL[r]", "used")
  return markdown(head, rows)


def importance() -> str:
  """The importance-sampled NLL beside the bound of the same state."""
  rows = []
  for name, folder in (
    ("digits, K = 20", "digits"),
    ("MNIST, N(0, I), literature's setting", "density"),
    ("the same, I = 1, K = 500", "density/dynamic"),
    ("the same on the static draw", "density/static"),
    ("MNIST, the paper's pair, K = 512", "figure3_conv_cpu"),
  ):
    estimate = values_of(f"{folder}/importance.json")
    rows.append(
      [
        *(name, f"{estimate['samples']:,}", f"{estimate['images']:,}"),
        *(_with_error(estimate, "nll"), _nll_of_all(estimate)),
        _with_error(values_of(f"{folder}/results.json"), "bound"),
        f"{estimate['effective_samples']:.0f}",
        f"{estimate['effective_samples_decile']:.1f}",
      ]
    )
  head = ("run", "S", "images", "NLL", "told for all", "bound of eq. 11")
  more = ("effective samples", "a tenth has fewer than")
  return markdown((*head, *more), rows)


def density() -> str:
  """Every prior in the literature's setting, means over seeds."""
  rows = []
  for name, seeds in _by_prior().items():
    scores = ("bound", "reconstruction", "kl_z", "kl_r")
    rows.append(
      [
        *(name, str(len(seeds))),
        *(mean(seeds, "nll_of_all"), spread(seeds, "nll_of_all")),
        *(mean(seeds, score) for score in scores),
        *(_by_seed(seeds, c) for c in ("used", "apart", "coinciding")),
        *(mean(seeds, "nll_effective_samples", 0), _speed(seeds[0])),
      ]
    )
  head = ("prior", "seeds", "NLL", "least to largest", "bound")
  parts = ("reconstruction", "KL[z]", "KL[r]", "used", "apart", "coinciding")
  more = ("effective samples", "steps a second")
  return markdown((*head, *parts, *more), rows)


def priors() -> str:
  """Of README.md: the rows of `density` that tell most."""
  rows = [
    [
      *(name, mean(seeds, "nll_of_all"), mean(seeds, "bound")),
      *(_by_seed(seeds, "used"), _speed(seeds[0])),
    ]
    for name, seeds in _by_prior().items()
    if seeds[0]["run"] != "factors4"
  ]
  return markdown(("prior", "NLL", "bound", "used", "steps a second"), rows)


def collapse() -> str:
  """The paper's mixture and gradients' one, with and without pre-training."""
  rows = []
  for row in rows_of("collapse/table.csv"):
    if not row["K"]:
      continue
    counts = ("used", "coinciding", "dead")
    rows.append(
      [
        *_case(row["run"].split("_")),
        *(row["K"], mean([row], "bound"), mean([row], "apart", 1)),
        *(*(row[c] for c in counts), mean([row], "purity")),
      ]
    )
  head = ("trained by", "begins", "K", "bound", "apart", "used", "coinciding")
  return markdown((*head, "dead dimensions", "purity"), rows)


def collapse_digits() -> str:
  """The same by the number of factors, means over seeds."""
  points = (row for row in rows_of("collapse_digits.csv") if row["K"])
  rows = []
  for run, seeds in grouped(points, "run").items():
    *case, num = run.split("_")
    counts = (_by_seed(seeds, c) for c in ("used", "apart", "coinciding"))
    rows.append([num, *_case(case), mean(seeds, "bound"), *counts])
  rows.sort(key=lambda row: row[0])
  head = ("I", "trained by", "begins", "bound", "used", "apart", "coinciding")
  return markdown(head, rows)


def choice() -> str:
  """An I and K a row, then what is picked seed by seed, by two rules."""
  points = [row for row in rows_of("choice/table.csv") if row["K"]]
  seeds = grouped(points, "seed").values()
  by_bound, by_labels = (
    [max(of_seed, key=lambda row: _best(row, score)) for of_seed in seeds]
    for score in ("validation_bound", "nmi")
  )
  rows = []
  for run, of_run in grouped(points, "run").items():
    for k, found in grouped(of_run, "K").items():
      picks = (
        str(sum(row in found for row in picked))
        for picked in (by_bound, by_labels)
      )
      name = f"I = {run.removeprefix('factors')}, K = {k}"
      rows.append([name, *_of_choice(found), *picks])
  rows.append(["each seed's best bound", *_of_choice(by_bound), "", ""])
  rows.append(["each seed's best NMI", *_of_choice(by_labels), "", ""])
  head = ("", "seeds", "validation bound", "bound", "used", "purity", "NMI")
  return markdown((*head, "best bound of", "best NMI of"), rows)


def _of_choice(found: Sequence[Row]) -> list[str]:
  bounds = (mean(found, score) for score in ("validation_bound", "bound"))
  used = statistics.fmean(float(n) for r in found for n in r["used"].split())
  cells = [str(len(found)), *bounds, f"{used:.0f}"]
  for score in ("purity", "nmi"):
    best = [_best(row, score) for row in found]
    cells.append(
      f"{statistics.fmean(best):.3f} +- {statistics.stdev(best):.3f}"
    )
  return cells


def _best(row: Row, score: str) -> float:
  """Of a score by factor, that of the factor which has most."""
  return max(float(value) for value in row[score].split())


def _case(run: Sequence[str]) -> tuple[str, str]:
  by, *at_once = run
  return (
    {"mixture": "SVI", "points": "gradients"}[by],
    "at once" if at_once else "after N(0, I)",
  )


def _by_prior() -> dict[str, list[Row]]:
  runs = grouped((r for r in rows_of("density/table.csv") if r["K"]), "run")
  return {name: runs[run] for run, name in _PRIORS.items()}


def _by_seed(runs: Sequence[Row], column: str) -> str:
  """As in '114 + 169, 145 + 127': whole numbers, the factors of each seed."""
  return ", ".join(
    " + ".join(f"{float(n):.0f}" for n in run[column].split())
    for run in runs
    if run[column]
  )


def _speed(run: Row) -> str:
  """Steps a second, pre-training included."""
  times = ("pretrain_seconds", "seconds")
  return f"{_steps(run) / sum(float(run[time] or 0) for time in times):.0f}"


def _steps(run: Row) -> int:
  phases = ("pretrain_steps", "prior_steps", "joint_steps")
  return sum(int(run[phase]) for phase in phases)


def _nll_of_all(estimate: dict) -> str:
  """'' where it was made on all images."""
  is_part = estimate.get("nll_of_all_stderr", 0) > 0
  return _with_error(estimate, "nll_of_all") if is_part else ""


def _with_error(values: dict, name: str) -> str:
  return f"{values[name]:.2f} +- {values[f'{name}_stderr']:.2f}"
