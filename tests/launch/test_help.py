"""What --help says, and the folder that a program takes by itself."""

import functools
import re

import pytest

from fmvae import config as config_lib
from fmvae import fields, figures, likelihoods, networks
from fmvae.model import priors
from launch import common
from tests.launch.test_launch import ROOT, run

_make_prior = functools.partial(
  priors.make, latent_dim=1, factors=((1, 1),), hyperprior={}
)
README = (ROOT / "README.md").read_text()


def test_every_field_has_a_meaning():
  def names(tree, path=""):
    for name, value in tree.items():
      if isinstance(value, dict):
        yield from names(value, f"{path}{name}.")
      else:
        yield path + name

  listed = dict(fields.flat())
  assert sorted(listed) == sorted(names(config_lib.default().to_dict()))
  for name, field in listed.items():
    assert re.fullmatch(r"\S.{9,}\.", field.meaning), name


@pytest.mark.parametrize(
  ("field", "ask"),
  [
    ("network.name", lambda: networks.check("?", {})),
    ("likelihood", lambda: likelihoods.get("?")),
    ("prior", lambda: _make_prior("?")),
  ],
)
def test_a_meaning_has_every_choice(field, ask):
  with pytest.raises(ValueError, match="must be one of") as refused:
    ask()
  (choices,) = re.findall(r"one of (.*), got", str(refused.value))
  for name in re.findall(r"'(\w+)'", choices):
    assert f"'{name}'" in dict(fields.flat())[field].meaning


def test_help_has_what_the_readme_uses():
  """Every flag, every field and every argument of a config."""
  for program in set(re.findall(r"python -m launch\.(\w+)", README)):
    done = run(program, "--help")
    assert (done.returncode, done.stderr) == (0, ""), program
    commands = re.findall(rf"launch\.{program}(.*)", README)
    used = set(re.findall(r" --(?:no)?([a-z_.]+)", " ".join(commands)))
    for flag in used:
      assert re.search(rf"\n  --(\[no\])?{flag}:", done.stdout), flag
    if program == "train":
      for name, field in fields.flat():
        assert f"\n  --config.{name}: {field.meaning[:9]}" in done.stdout
      assert "smoke" in done.stdout
      assert "k=128" in done.stdout
    if program == "figures":
      for name in figures.OF_A_RUN | figures.OF_A_TABLE:
        assert f"\n    {name}: {figures.describe(name)}\n" in done.stdout


@pytest.mark.parametrize(
  ("config", "name"),
  [
    ("experiments/shapes.py", "shapes"),
    ("experiments/shapes.py:smoke", "shapes_smoke"),
    ("experiments/mnist_mlp.py:k=128", "mnist_mlp_k128"),
    ("a/own.py:data=my_pictures,size=64", "own_my_pictures_size64"),
    ("own.py:data=../x y/my.npz,labels=kind+age", "own_x_y_my.npz_kind_age"),
    (f"own.py:data=/{'long/' * 99}", f"own_{'long_' * 99}"[:60]),
    ("sweep.py:run=mnist", "sweep"),
    ("sweep.py:run=mnist,smoke", "sweep_smoke"),
  ],
)
def test_the_argument_of_a_config_names_the_folder(config, name):
  assert common.folder_name(config, shared=("run",)) == name
