"""What --config takes, in one process: flags in, a sentence out."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Parses the flags of each case as launch.train does, then checks the config.
PROGRAM = """
import contextlib, io, json, sys
from absl import flags
from fmvae import config
from launch import common, train
said, known = [], flags.FLAGS
for case in json.load(sys.stdin):
  for name in [n for n in known if n.startswith("config.")]:
    delattr(known, name)
  known.unparse_flags()
  sys.argv = ["launch.train", *case]
  with contextlib.redirect_stderr(io.StringIO()) as text:
    try:
      common._parse_flags("experiments/digits.py", sys.argv)
      config.validate(known.config)
      said.append(known.config.to_json())
    except SystemExit as error:
      said.append(f"{error.code} {text.getvalue()}")
    except ValueError as error:
      said.append(f"error: {error}")
json.dump(said, sys.stdout)
"""
FILES = {
  "syntax.py": "def get_config(:",
  "raises.py": "raise RuntimeError('no\\nluck')",
  "exits.py": "raise SystemExit(3)",
  "imports.py": "import nothing_of_that_name",
  "without.py": "x = 1",
  "three.py": "def get_config():\n  return 3",
  "divides.py": "def get_config():\n  return 1 / 0",
  "text.md": "# Not a config",
}
CASES = [  # flags, parts of the sentence; {} stands for the folder of FILES
  ("--config={}/syntax.py", "error: --config={}/syntax.py: SyntaxError"),
  ("--config={}/raises.py", "raises.py: RuntimeError: no luck"),
  ("--config={}/exits.py", "exits.py: SystemExit: 3"),
  ("--config={}/imports.py", "imports.py: ModuleNotFoundError: No module"),
  ("--config={}/without.py", "without.py must have a function get_config"),
  ("--config={}/three.py", "three.py must have a function get_config that"),
  ("--config={}/divides.py", "divides.py: ZeroDivisionError"),
  ("--config={}/text.md", "text.md must have a function get_config"),
  ("--config={}", "there is no config file '{}'"),
  ("--config={}/nope.py", "there is no config file '{}/nope.py'"),
  ("--config=", "there is no config file ''"),
  (
    "--config=experiments/digits.py:abc",
    "digits.py:abc: the config's argument",
  ),
  (
    "--config=experiments/digits.py:k=a",
    "digits.py:k=a: the config's argument",
  ),
  ("--config.sed=1", "--config.sed=1: the config has no field 'sed'"),
  ("--config.svi.tau=1", "--config.svi.tau=1: the config has no field"),
  ("--config.sed.x=1", "--config.sed.x=1: the config has no field 'sed'"),
  ("--config.factors[0]=3", "--config.factors[0]=3: a tuple is set as a whole"),
  ("--config.factors[9]=3", "--config.factors[9]=3: a tuple is set as a whole"),
  ("--config.factors=((16,'a'),)", "config.factors must be a tuple of (D, K)"),
  ("--config.factors=((16,-2),)", "config.factors[0] = (D, K) must be at"),
  ("--config.network=mlp", "flag --config.network=mlp"),
  ("--config.network={'hidden':(3,)}", "config.network.name is missing"),
  ("--config.network.hidden=0", "config.network.hidden must be a tuple of"),
  ("--config.network.name=conv64", "config.network.hidden is no option"),
  ("--config.svi=3", "flag --config.svi=3"),
  ("--config.svi.initial=2", "config.svi.initial must be in (0, 1]"),
  ("--config.svi.initial=a", "config.svi.initial must be a finite number"),
  ("--config.svi.tau0=inf", "config.svi.tau0 must be a finite number"),
  ("--config.steps.joint=1e5", "flag --config.steps.joint=1e5"),
  ("--config.steps.joint=100000000000000000000", "config.steps.joint must be"),
  ("--config.seed=4294967296", "config.seed must be an integer from 0 to"),
  ("--config.seed=a", "flag --config.seed=a"),
  ("--config.likelihood=['gaussian']", "config.likelihood must be one of"),
  ("--config.dataset.labels=label", "config.dataset.labels must hold"),
  ("--config.dataset.resplit=(8,2.5)", "config.dataset.resplit must be ()"),
  (
    "--config.dataset.labelled_fraction=a",
    "labelled_fraction must be a finite",
  ),
  ("--config.dataset.threshold=2", "config.dataset.threshold must be at least"),
  ("--config.delta=((0,1e400),)", "config.delta: it must hold points"),
  ("--config.learning_rate=nan", "config.learning_rate must be a finite"),
]
RIGHT = [  # flags, what the config then holds
  ("--config.svi.initial=None", '"initial": null'),
  ("--config.svi.initial=0.5", '"initial": 0.5'),
  ("--config.dataset.labels=((0,'label'),)", '"labels": [[0, "label"]]'),
  (
    "--config.dataset.labels=((0,'label'),) "
    "--config.dataset.labelled_fraction=(0.5,)",
    '"labelled_fraction": [0.5]',
  ),
  ("--config experiments/digits.py:smoke --config.seed 3", '"seed": 3'),
]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
  """What the program says to each case, and the folder of the files."""
  folder = tmp_path_factory.mktemp("configs")
  for name, text in FILES.items():
    (folder / name).write_text(text)
  cases = [flags.replace("{}/", f"{folder}/") for flags, _ in CASES + RIGHT]
  cases = [f"--config={folder}" if c == "--config={}" else c for c in cases]
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    input=json.dumps([case.split(" ") for case in cases]),
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  texts = json.loads(done.stdout)
  return dict(zip([f for f, _ in CASES + RIGHT], texts, strict=True)), folder


@pytest.mark.parametrize(("flags", "part"), CASES)
def test_a_wrong_config_costs_a_sentence(flags, part, said):
  texts, folder = said
  assert part.replace("{}", str(folder)) in texts[flags]
  assert "Traceback" not in texts[flags]
  assert texts[flags].startswith("error: ")


@pytest.mark.parametrize(("flags", "part"), RIGHT)
def test_a_right_config_is_taken(flags, part, said):
  assert part in said[0][flags]
