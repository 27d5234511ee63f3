"""One HTML file about a run: what it measured, its figures, its config."""

import base64
import html
import itertools
import json
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fmvae import figures
from fmvae.explorer.packing import fill, policy, read
from fmvae.storage import read_json
from fmvae.training import records

_GREY = "#7c7f8a"  # can be read on white and on black
_COLOURS = ("#4c6ef5", "#e8590c", "#2b8a3e", "#c2255c", "#9c36b5", "#1098ad")
_HEADLINES = {
  "bound": "test bound (eq. 11)",
  "reconstruction": "reconstruction",
  "kl_z": "KL[z]",
  "kl_r": "KL[r]",
  "used": "components used",
  "perplexity": "perplexity",
}
_DPI = 100


def report(workdir: pathlib.Path) -> str:
  """The page about a run, from the files in its workdir alone.

  Raises:
    ValueError: the workdir holds no run, or a file of it is damaged; names it.
  """
  config = records.read_config(workdir)
  rows = _rows(workdir / "metrics.jsonl")
  result = _fields(workdir / "results.json")
  run = _fields(workdir / "run.json")
  step = max([int(row["step"]) for row in rows], default=0)
  summary = f"A run of fmvae: step {step:,} of {sum(config.steps.values()):,}"
  summary += ". Nats per image." if result else ", which has no result yet."
  try:
    parts = [
      _section("Test set", _numbers(result)),
      _section("Curves", _curves(rows, step)),
      _section("Use of the components", _usage(rows)),
      _section("Confusion", _confusion(result.get("named", {}))),
      _section("Figures", _pictures(workdir)),
      _section("All scores", _list(_scalars(result)), folded=True),
      _section("Configuration", _list(records.flat(config)), folded=True),
      _section("Versions and hardware", _starts(run), folded=True),
    ]
  except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"workdir {workdir} has a metrics.jsonl, results.json or run.json with "
      f"other fields than a run writes ({type(error).__name__}: {error}). "
      "Restore it, or move it away."
    ) from error
  style = read("style.css")
  name = html.escape(str(config.dataset.name))
  return fill(
    read("report.html"),
    policy=policy("", style),
    title=f"{name}: report",
    style=style,
    name=name,
    summary=html.escape(summary),
    parts="\n".join(parts),
  )


def _rows(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.is_file():
    return []
  try:
    return [json.loads(line) for line in path.read_text().splitlines()]
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{path} cannot be read ({error}). Restore it, or move it away."
    ) from error


def _fields(path: pathlib.Path) -> dict[str, Any]:
  if not path.is_file():
    return {}
  try:
    return read_json(path)
  except ValueError as error:
    raise ValueError(
      f"{path} cannot be read ({error}). Restore it, or move it away."
    ) from error


def _section(title: str, content: str, folded: bool = False) -> str:
  if not content:
    return ""
  if folded:
    return (
      f'<section class="card"><details><summary>{title}</summary>{content}'
      "</details></section>"
    )
  return f"<section><h2>{title}</h2>{content}</section>"


def _of(row: Mapping[str, Any], name: str) -> list[float]:
  """A number of a row, of each factor where it has one for each."""
  if name in row:
    return [float(row[name])]
  start = f"{name}/"
  return [float(v) for key, v in row.items() if key.startswith(start)]


def _numbers(result: Mapping[str, Any]) -> str:
  cards = []
  for name, title in _HEADLINES.items():
    values = _of(result, name)
    if not values:
      continue
    if name == "used":
      known = sum(_of(result, "num_components"))
      text = f"{sum(values):.0f} of {known:.0f}"
    elif name == "perplexity":
      text = ", ".join(f"{v:.1f}" for v in values)
    else:
      text = f"{sum(values):,.2f}"
    if name == "bound" and "bound_stderr" in result:
      text += f" ± {float(result['bound_stderr']):.2f}"
    cards.append(
      f'<div class="card"><strong>{text}</strong>'
      f'<span class="small">{title}</span></div>'
    )
  return f'<div class="numbers">{"".join(cards)}</div>' if cards else ""


def _curves(rows: Sequence[Mapping[str, Any]], last: int) -> str:
  names = ("bound", "reconstruction", "kl_z", "kl_r")

  def draw() -> Figure:
    figure = Figure(figsize=(11, 5.6), layout="constrained", facecolor="none")
    for axis, name in zip(figure.subplots(2, 2).flat, names, strict=True):
      for split, marker in (("train", ""), ("test", "o")):
        points = _points(rows, split, name)
        if points:
          axis.plot(
            *zip(*points, strict=True),
            color=_COLOURS[split == "test"],
            marker=marker,
            markersize=5,
            linestyle="" if marker else "-",
            linewidth=1.3,
            label=split,
          )
      _finish(axis, rows, _HEADLINES[name].removeprefix("test "))
      if name.startswith("kl"):
        axis.set_ylim(bottom=0)
      else:
        _leave_out_the_first(axis, last)
    return figure

  if not any(_points(rows, "train", name) for name in names):
    return ""
  return _svg(draw, "Bound, reconstruction, KL[z] and KL[r] by step")


def _points(
  rows: Iterable[Mapping[str, Any]], split: str, name: str
) -> list[tuple[int, float]]:
  found = [(row, _of(row, name)) for row in rows if row["split"] == split]
  return [(row["step"], sum(values)) for row, values in found if values]


def _finish(axis: Axes, rows: Sequence[Mapping[str, Any]], title: str) -> None:
  """Titles, and where the phases begin."""
  axis.set_facecolor("none")
  axis.set_title(title, color=_GREY, fontsize="medium", loc="left")
  axis.set_xlabel("step", color=_GREY)
  axis.tick_params(colors=_GREY)
  for side, spine in axis.spines.items():
    spine.set_visible(side in ("left", "bottom"))
    spine.set_color(_GREY)
  for before, row in itertools.pairwise(rows):
    if before["phase"] != row["phase"]:
      axis.axvline(before["step"], color=_GREY, linestyle=":", linewidth=1)
      axis.annotate(
        f" {row['phase']}",
        (before["step"], 1),
        xycoords=("data", "axes fraction"),
        va="top",
        color=_GREY,
        fontsize="small",
      )
  if axis.lines:
    axis.legend(frameon=False, labelcolor=_GREY, fontsize="small")


def _leave_out_the_first(axis: Axes, last: int) -> None:
  """No room for what the first quarter of the steps alone has."""
  values = [
    value
    for line in axis.lines
    for x, value in zip(
      np.atleast_1d(line.get_xdata()),
      np.atleast_1d(line.get_ydata()),
      strict=True,
    )
    if line.get_label() in ("train", "test") and x >= 0.25 * last
  ]
  if values:
    margin = 0.05 * (max(values) - min(values)) or 1
    axis.set_ylim(min(values) - margin, max(values) + margin)


def _usage(rows: Sequence[Mapping[str, Any]]) -> str:
  names = ("used", "perplexity")
  kept = [row for row in rows if row["split"] == "train" and _of(row, "used")]
  if not kept:
    return ""

  def draw() -> Figure:
    figure = Figure(figsize=(11, 3), layout="constrained", facecolor="none")
    for axis, name in zip(figure.subplots(1, 2), names, strict=True):
      of = np.array([_of(row, name) for row in kept])
      for i, values in enumerate(of.T):
        axis.plot(
          [row["step"] for row in kept],
          values,
          color=_COLOURS[i % len(_COLOURS)],
          linewidth=1.3,
          label=f"factor {i}",
        )
      _finish(axis, kept, _HEADLINES[name])
      axis.set_ylim(bottom=0)
    return figure

  return _svg(draw, "Components used and perplexity of each factor by step")


def _svg(draw: Any, alt: str) -> str:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "curves.svg"
    figures.write(draw, path, _DPI)
    data = path.read_bytes()
  return f'<div class="card wide">{_image("svg+xml", data, alt)}</div>'


def _image(kind: str, data: bytes, alt: str) -> str:
  encoded = base64.b64encode(data).decode()
  return (
    f'<img alt="{html.escape(alt)}" src="data:image/{kind};base64,{encoded}">'
  )


def _confusion(named: Mapping[str, Mapping[str, Any]]) -> str:
  """How q(r|x) assigns test images: a row for each truth."""
  tables = []
  for feature, matrix in named.items():
    names = [str(name) for name in matrix["names"]]
    counts = np.array(matrix["counts"])
    columns = [*names, *map(str, range(len(names), counts.shape[1]))]
    head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in columns)
    body = []
    for name, row in zip(names, counts, strict=True):
      shares = row / max(row.sum(), 1)
      cells = "".join(
        f'<td class="s{min(int(np.ceil(4 * share)), 4)}">{n}</td>'
        for n, share in zip(row.tolist(), shares, strict=True)
      )
      body.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    accuracy = 100 * float(matrix["accuracy"])
    tables.append(
      f"<div><h3>{html.escape(feature)}, {accuracy:.1f} % right</h3>"
      f"<table><tr><td></td>{head}</tr>{''.join(body)}</table></div>"
    )
  if not tables:
    return ""
  return f'<div class="card tables scroll">{"".join(tables)}</div>'


def _pictures(workdir: pathlib.Path) -> str:
  out = []
  for path in sorted(workdir.glob("*.png")):
    image = _image("png", path.read_bytes(), path.stem)
    out.append(
      f'<figure class="card figure">{image}'
      f"<figcaption>{html.escape(path.name)}</figcaption></figure>"
    )
  return "".join(out)


def _scalars(result: Mapping[str, Any]) -> dict[str, Any]:
  return {k: v for k, v in result.items() if not isinstance(v, dict)}


def _list(values: Mapping[str, Any]) -> str:
  if not values:
    return ""
  lines = "".join(
    f'<tr><th scope="row">{html.escape(name)}</th>'
    f"<td>{html.escape(str(value))}</td></tr>"
    for name, value in values.items()
  )
  return f'<table class="list">{lines}</table>'


def _starts(run: Mapping[str, Any]) -> str:
  out = []
  for start in run.get("starts", ()):
    known = {k: v for k, v in start.items() if k != "packages"}
    out.append(_list(known | dict(start.get("packages", {}))))
  return "".join(out)
