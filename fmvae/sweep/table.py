"""One tidy table of all points of a sweep."""

import csv
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from fmvae.storage import replacing
from fmvae.sweep.plan import Point, is_of, read_result

_SCORES = (
  "bound",
  "bound_stderr",
  "reconstruction",
  "kl_z",
  "kl_r",
  "kl_global",
)
_NLL = {
  "nll": "nll",
  "nll_samples": "samples",
  "nll_images": "images",
  "nll_of_all": "nll_of_all",
  "nll_effective_samples": "effective_samples",
}
_USAGE = ("used", "chosen", "perplexity")
_UNUSED = ("apart", "coinciding", "dead")
_BEFORE = (
  *("run", "dataset", "split", "binarisation", "network", "K", "seed"),
  *("pretrain_steps", "prior_steps", "joint_steps"),
  *_SCORES,
  "bound_samples",
  *_NLL,
  *_USAGE,
  *_UNUSED,
)
_AFTER = ("seconds", "pretrain_seconds", "device", "commit")
_NO_SCORES = (
  "step",
  "of_steps",
  "samples",
  "diagnosis",
  "named",
  "num_components",
)


def row(point: Point) -> dict[str, Any] | None:
  """The table's row of a point, None before it is finished.

  Nats per test image. `K` is empty for the N(0, I) prior after pre-training.
  `kl_z`, `kl_r` are sums over factors; other numbers of several factors stand
  in one field, separated by spaces. `nll` is importance-sampled with
  `nll_samples` draws on `nll_images` of the test set, no bound of eq. 11, and
  `nll_of_all` what it is for the whole, as `evaluation.ImportanceEstimate`.
  `apart` and `coinciding` count components and `dead` dimensions, as
  `evaluation.Diagnosis`. Every other score that the evaluation gave has a
  column of its own; those of the bound took `bound_samples` draws of z for each
  image. `seconds` is the time of the training steps and their compilation, its
  share where points were trained together, without the pre-training that the
  point shares.
  """
  results = read_result(point.workdir / "results.json")
  if not is_of(results, point.steps):
    return None
  config = point.config
  out: dict[str, Any] = {
    "run": point.run,
    "dataset": config.dataset.name,
    "split": _split(config.dataset),
    "binarisation": _binarisation(config.dataset),
    "network": _network(config.network.to_dict()),
    "K": "" if point.k is None else point.k,
    "seed": point.seed,
  }
  for phase in ("pretrain", "prior", "joint"):
    out[f"{phase}_steps"] = config.steps[phase]
  for name in _SCORES:
    out[name] = round(sum(_values(results, name)), 4)
  out["bound_samples"] = results.get("samples", "")
  estimate = read_result(point.workdir / "importance.json")
  if not is_of(estimate, point.steps):
    estimate = {}
  for name, value in _NLL.items():
    out[name] = round(estimate[value], 4) if value in estimate else ""
  for name in dict.fromkeys([*_USAGE, *_other_scores(results)]):
    out[name] = " ".join(f"{v:.6g}" for v in _values(results, name))
  if diagnosis := results.get("diagnosis"):
    for name in ("apart", "coinciding"):
      out[name] = " ".join(f"{v:.4g}" for v in diagnosis[name])
    out["dead"] = len(diagnosis["dead"])
  out["seconds"] = _seconds(point.workdir)
  shared = point.pretrained
  out["pretrain_seconds"] = "" if shared is None else _seconds(shared)
  return out | _hardware(point.workdir)


def summary(point: Point) -> str:
  """A finished point in a line, for a person who watches."""
  found = row(point)
  if found is None:
    return "no result"
  used = f", {found['used']} used" if found["used"] else ""
  nll = found["nll_of_all"]
  nll = f", NLL {nll:.2f}" if nll != "" else ""
  seconds = f", {found['seconds']:.0f} s" if found["seconds"] != "" else ""
  return f"bound {found['bound']:.2f}{used}{nll}{seconds}"


def write(points: Sequence[Point], path: pathlib.Path) -> list[dict[str, Any]]:
  """Writes the rows of all finished points as CSV; returns them."""
  rows = [found for point in points if (found := row(point)) is not None]
  with replacing(path) as temporary, temporary.open("w", newline="") as file:
    others = dict.fromkeys(name for found in rows for name in found)
    for name in (*_BEFORE, *_AFTER):
      others.pop(name, None)
    columns = (*_BEFORE, *others, *_AFTER)
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
  return rows


def _values(results: dict[str, Any], name: str) -> list[float]:
  """One number, or one for each factor (`name/i`); none where not scored."""
  if name in results:
    return [results[name]]
  return [v for key, v in results.items() if key.startswith(f"{name}/")]


def _other_scores(results: dict[str, Any]) -> list[str]:
  """Names of scores beyond the bound, without the number of a factor."""
  names = [re.sub(r"/\d+$", "", name) for name in results]
  return [n for n in names if n not in (*_SCORES, *_NO_SCORES)]


def _hardware(workdir: pathlib.Path) -> dict[str, str]:
  """Where the run was last started; empty where run.json is damaged."""
  starts = read_result(workdir / "run.json").get("starts")
  if not starts:
    return {"device": "", "commit": ""}
  told = starts[-1]
  device = f"{told['num_devices']} x {told['device']}"
  if told["device"] == "cpu":
    device = f"cpu, {told['cpu_cores']} cores"
  return {"device": device, "commit": told["commit"]}


def _seconds(workdir: pathlib.Path) -> float | str:
  """The time of all steps, none twice where a run was stopped.

  Empty where metrics.jsonl is damaged.
  """
  try:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return round(sum(r["seconds"] for r in rows if r["split"] == "train"), 1)
  except (OSError, ValueError, KeyError, TypeError):
    return ""


def _network(network: dict[str, Any]) -> str:
  """Its name and options, as in 'mlp hidden=512-512'."""
  options = {k: v for k, v in network.items() if k != "name"}
  joined = [
    f"{name}={'-'.join(map(str, v)) if isinstance(v, tuple | list) else v}"
    for name, v in sorted(options.items())
  ]
  return " ".join([network["name"], *joined])


def _split(dataset: Any) -> str:
  split = "official"
  if dataset.resplit:
    sizes = "/".join(str(n) for n in dataset.resplit)
    split = f"random {sizes} seed {dataset.split_seed}"
  held = dataset.validation
  return f"{split} validation {held}" if held else split


def _binarisation(dataset: Any) -> str:
  if dataset.binarisation == "threshold":
    return f"threshold {dataset.threshold}"
  return dataset.binarisation
