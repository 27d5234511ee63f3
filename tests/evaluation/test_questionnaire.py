"""The questionnaire: a page for raters, a key, and scores of answers."""

import base64
import html.parser
import json

import cv2
import numpy as np
import pytest

from fmvae.evaluation import questionnaire
from tests import named


@pytest.fixture(scope="module")
def made():
  exp = named.build()
  return questionnaire.make_questionnaire(exp.model, named.started(exp), 7, 0)


class Page(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.pictures, self.choices, self.links = [], {}, []
    self.open, self.groups, self.legends = [], {}, []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.open.append(tag)
    if tag == "fieldset":
      self.legends.append("")
    if attrs.get("type") == "radio":
      assert "label" in self.open
      assert "fieldset" in self.open
      self.groups.setdefault(len(self.legends) - 1, set()).add(attrs["name"])
    if tag in ("img", "input", "meta"):  # which nothing closes
      self.open.pop()
    if tag == "img":
      self.pictures.append(attrs["src"])
    if attrs.get("type") == "radio":
      self.choices.setdefault(attrs["name"], []).append(int(attrs["value"]))
    self.links += [attrs[a] for a in ("href", "src") if a in attrs]

  def handle_endtag(self, tag):
    while self.open and self.open.pop() != tag:
      assert tag in ("html", "p"), f"</{tag}> closes nothing"

  def handle_data(self, data):
    if self.open and self.open[-1] == "legend":
      self.legends[-1] += data


def test_the_page_is_complete_in_itself(made):
  page = Page(made.page)
  assert len(page.pictures) == 7
  assert list(page.choices) == [f"q{n}-{p}" for n in range(7) for p in range(3)]
  assert page.choices["q0-0"] == [0, 1, 2]
  assert page.choices["q6-1"] == [0, 1, 2, 3]
  for link in page.links:
    kind, content = link.split(",")
    assert kind == "data:image/png;base64"
    raw = np.frombuffer(base64.b64decode(content), np.uint8)
    assert cv2.imdecode(raw, cv2.IMREAD_COLOR).shape == (32, 32, 3)
  assert made.key["questionnaire"] in made.page
  assert "shape = [7, 3]" in made.page
  assert "yellow" in made.page


def test_a_question_is_a_group_with_a_heading(made):
  page = Page(made.page)
  assert page.legends == 7 * ["shape", "colour", "size"]
  assert [len(names) for names in page.groups.values()] == 21 * [1]
  assert made.page.count('role="group" aria-label="Picture ') == 7


def test_the_key_is_not_on_the_page(made):
  assert np.shape(made.key["intended"]) == (7, 3)
  assert json.dumps(made.key["intended"]) not in made.page


def write(tmp_path, made, rater, answers, **changes):
  path = tmp_path / f"{rater}.json"
  record = {"questionnaire": made.key["questionnaire"], "rater": rater}
  path.write_text(json.dumps(record | {"answers": answers} | changes))
  return path


def test_scores_over_raters(tmp_path, made):
  right = made.key["intended"]
  careless = [[None, (row[1] + 1) % 4, row[2]] for row in right]
  files = [
    write(tmp_path, made, "ann", right),
    write(tmp_path, made, "bob", [*right[:1], *careless[1:]]),
  ]
  scores = questionnaire.score(made.key, files)
  shape, colour, size = scores.matrices
  assert (shape.accuracy, shape.counts.sum()) == (1, 8)
  assert (colour.accuracy, colour.counts.sum()) == (8 / 14, 14)
  assert size.accuracy == 1
  assert scores.raters == {"ann": (1, 1, 1), "bob": (1, 1 / 7, 1)}


def test_answers_that_do_not_fit_are_named(tmp_path, made):
  right = made.key["intended"]
  cut = tmp_path / "cut.json"
  cut.write_text('{"questionnaire": "')
  bad = {
    r"other\.json answers questionnaire x, not": write(
      tmp_path, made, "other", right, questionnaire="x"
    ),
    r"short\.json must hold 7 rows of 3": write(
      tmp_path, made, "short", right[1:]
    ),
    r"high\.json must hold 7 rows": write(
      tmp_path, made, "high", [[0, 4, 0], *right[1:]]
    ),
    r"text\.json must hold 7 rows": write(
      tmp_path, made, "text", [["a", 0, 0], *right[1:]]
    ),
    r"cut\.json holds no answers": cut,
    r"list\.json holds no answers": write(tmp_path, made, "list", 3),
  }
  for message, path in bad.items():
    with pytest.raises(ValueError, match=message):
      questionnaire.score(made.key, [path])
  ann = write(tmp_path, made, "ann", right)
  with pytest.raises(ValueError, match="'ann' has answered twice"):
    questionnaire.score(made.key, [ann, ann])


def test_a_rater_may_leave_questions_open(tmp_path, made):
  right = made.key["intended"]
  files = [
    write(tmp_path, made, "ann", [[a, b, None] for a, b, _ in right]),
    write(tmp_path, made, "bob", [[None] * 3] * 7),
  ]
  scores = questionnaire.score(made.key, files)
  assert [part.accuracy for part in scores.matrices] == [1, 1]
  assert scores.raters == {"ann": (1, 1, None), "bob": (None, None, None)}


def test_answers_cannot_steer_the_terminal_or_the_parser(tmp_path, made):
  assert questionnaire.printable("\x1b[2Jé\u202e") == "\\x1b[2Jé\\u202e"
  deep = tmp_path / "deep.json"
  deep.write_text("[" * 200_000)
  with pytest.raises(ValueError, match=r"deep\.json holds no answers"):
    questionnaire.score(made.key, [deep])
