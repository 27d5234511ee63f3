"""The questionnaire of Table 1 for human raters: one page, and its scores.

The page holds the pictures and asks which value each named property has; a
rater saves the answers as a file. What the pictures were intended to show
stands in the key, which raters do not see.
"""

import base64
import dataclasses
import hashlib
import html
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fmvae.data.pixels import encode_png
from fmvae.evaluation.classifier import generate
from fmvae.evaluation.confusion import ConfusionMatrix, confusion_matrix
from fmvae.model import Model, Property, TrainState
from fmvae.storage import read_json

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>What do you see?</title>
<style>
  html { scroll-padding-bottom: 6em }  /* what has the focus is not hidden */
  body { font-family: sans-serif; max-width: 60em; margin: 1em auto;
         padding: 0 1em }
  section { display: grid;
            grid-template-columns: repeat(auto-fill, minmax(11em, 1fr));
            gap: 1em }
  figure { margin: 0; padding: .6em; border: 1px solid #ccc }
  figure.done { background: #eef6ee }
  img { width: 100%; image-rendering: pixelated }
  fieldset { border: 0; margin: 0; padding: .3em 0; min-width: 0 }
  legend { padding: 0; font-weight: bold; overflow-wrap: anywhere }
  label { display: block }
  :focus-visible { outline: 2px solid #3b6a94; outline-offset: 1px }
  footer { position: sticky; bottom: 0; background: #fff; padding: .8em 0;
           border-top: 1px solid #ccc }
</style>
<h1>What do you see?</h1>
<p>For each picture choose what fits best, even where you are not sure. Then
enter a name and save your answers.</p>
<form>
<section>
PICTURES
</section>
<footer>
  <label>Your name: <input name="rater" required></label>
  <button>Save answers</button> <output aria-live="polite"></output>
</footer>
</form>
<script>
  const id = "ID", shape = [NUM, PROPERTIES];
  const form = document.querySelector("form");
  const answers = () => Array.from({length: shape[0]}, (_, n) =>
    Array.from({length: shape[1]}, (_, p) => {
      const chosen = form.querySelector(`input[name="q${n}-${p}"]:checked`);
      return chosen ? Number(chosen.value) : null;
    }));
  const count = () => {
    const rows = answers().map(row => row.every(k => k !== null));
    form.querySelectorAll("figure").forEach((figure, n) =>
      figure.classList.toggle("done", rows[n]));
    const done = rows.filter(Boolean).length;
    form.querySelector("output").textContent =
      `${done} of ${shape[0]} pictures answered`;
    return done;
  };
  form.addEventListener("change", count);
  form.addEventListener("submit", event => {
    event.preventDefault();
    if (count() < shape[0] &&
        !confirm("Some pictures are not answered. Save all the same?")) return;
    const rater = form.elements.rater.value;
    const text = JSON.stringify({questionnaire: id, rater, answers: answers()});
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text]));
    link.download = `answers-${rater.replace(/[^A-Za-z0-9]+/g, "-")}.json`;
    link.click();
  });
  count();
</script>
</html>
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Questionnaire:
  """A page for raters and the key to it."""

  page: str  # HTML, complete in itself
  key: dict[str, Any]  # for a JSON file


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
  """What raters saw against what was intended."""

  # Over all raters, one for each property that any of them answered.
  matrices: tuple[ConfusionMatrix, ...]
  # Accuracy of each, by property; None where a rater left it open.
  raters: dict[str, tuple[float | None, ...]]


def printable(text: str) -> str:
  """A text from a file without what would steer a terminal."""
  return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def make_questionnaire(
  model: Model, state: TrainState, num: int, seed: int
) -> Questionnaire:
  """Generates pictures and asks about them (Sec. 4.2, Table 1).

  Args:
    model: what was trained, with named factors.
    state: its state, on one device.
    num: of pictures, 54 in the paper.
    seed: of the pictures.

  Raises:
    ValueError: no factor has a name.
  """
  model.require_named("a questionnaire asks about")
  properties = model.properties
  images, intended = generate(model, state, jax.random.key(seed), num)
  pixels = np.rint(255 * model.to_unit(images)).astype(np.uint8)
  if pixels.shape[-1] == 1:
    pixels = pixels[..., 0]
  figures = [
    _figure(n, picture, properties) for n, picture in enumerate(pixels)
  ]
  name = hashlib.sha256(pixels.tobytes() + intended.tobytes()).hexdigest()[:16]
  page = (
    _PAGE.replace("ID", name)
    .replace("NUM", str(num))
    .replace("PROPERTIES", str(len(properties)))
    .replace("PICTURES", "\n".join(figures))
  )
  key = {
    "questionnaire": name,
    "step": int(state.step),
    "seed": seed,
    "properties": [[p.feature, list(p.names)] for p in properties],
    "intended": intended.tolist(),
  }
  return Questionnaire(page, key)


def _figure(n: int, picture: np.ndarray, properties: Sequence[Property]) -> str:
  png = base64.b64encode(encode_png(picture).getvalue()).decode()
  fields = []
  for i, p in enumerate(properties):
    choices = "".join(
      f'<label><input type="radio" name="q{n}-{i}" value="{k}"> '
      f"{html.escape(name)}</label>"
      for k, name in enumerate(p.names)
    )
    legend = f"<legend>{html.escape(p.feature)}</legend>"
    fields.append(f"<fieldset>{legend}{choices}</fieldset>")
  name = f"Picture {n + 1}"
  return (
    f'<figure role="group" aria-label="{name}">'
    f'<img alt="{name}" src="data:image/png;base64,{png}">'
    f"{''.join(fields)}</figure>"
  )


def score(key: dict[str, Any], files: Sequence[pathlib.Path]) -> Scores:
  """Compares raters' answers with the key.

  Args:
    key: as `make_questionnaire` made it.
    files: of answers, one for each rater. What a rater left open is left out.

  Raises:
    ValueError: a file that is no set of answers to this questionnaire, by name.
  """
  intended = np.array(key["intended"])
  answers = {}
  for path in files:
    rater, given = _read_answers(path, key, intended.shape)
    if rater in answers:
      raise ValueError(f"{path}: rater {rater!r} has answered twice")
    answers[rater] = given
  names = [(feature, tuple(names)) for feature, names in key["properties"]]

  def matrices(given: np.ndarray) -> list[ConfusionMatrix | None]:
    repeated = np.tile(intended, (len(given) // len(intended), 1))
    return [
      confusion_matrix(feature, of, repeated[:, i], given[:, i], len(of))
      if (given[:, i] >= 0).any()
      else None
      for i, (feature, of) in enumerate(names)
    ]

  of_all = matrices(np.concatenate(list(answers.values())))
  return Scores(
    matrices=tuple(part for part in of_all if part is not None),
    raters={
      rater: tuple(
        None if part is None else part.accuracy for part in matrices(given)
      )
      for rater, given in answers.items()
    },
  )


def _read_answers(
  path: pathlib.Path, key: dict[str, Any], shape: tuple[int, ...]
) -> tuple[str, np.ndarray]:
  """The rater and the answers `[N, P]`, -1 where there is none."""
  try:
    record = read_json(path)
    which, rater = record["questionnaire"], str(record["rater"])
    given = np.array(
      [[-1 if k is None else k for k in row] for row in record["answers"]]
    )
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f"{path} holds no answers to a questionnaire") from error
  if which != key["questionnaire"]:
    raise ValueError(
      f"{path} answers questionnaire {printable(str(which))}, not"
      f" {key['questionnaire']}"
    )
  highest = np.array([len(names) for _, names in key["properties"]])
  if (
    given.shape != shape
    or not np.issubdtype(given.dtype, np.integer)
    or (given < -1).any()
    or (given >= highest).any()
  ):
    raise ValueError(
      f"{path} must hold {shape[0]} rows of {shape[1]} answers, each the "
      f"number of a choice or null, got shape {given.shape}"
    )
  return rater, given
