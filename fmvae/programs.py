"""The programs of `launch/` as commands, `fmvae-train` and so on.

A wheel has the folders `launch` and `experiments` in `fmvae/bundled`; a clone
has them beside `fmvae`.
"""

import functools
import os
import pathlib
import runpy
import sys

from fmvae.training import host

_HERE = pathlib.Path(__file__).parent


def _run(name: str) -> None:
  """Does what `python -m launch.NAME` does, the package's own wherever it is.

  As there, modules are looked for in the current folder too. A program that
  this one starts by `python -m launch.OTHER` finds it through the environment.
  """
  host.keep_memory()
  host.watch_signals()  # what a program imports takes seconds
  bundled = _HERE / "bundled"
  root = str(bundled if bundled.is_dir() else _HERE.parent)
  sys.path[:1] = [root, os.getcwd()]  # in place of the folder of the command
  others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
  os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, *others]))
  runpy.run_module(f"launch.{name}", run_name="__main__", alter_sys=True)


encode = functools.partial(_run, "encode")
evaluate = functools.partial(_run, "evaluate")
explore = functools.partial(_run, "explore")
export = functools.partial(_run, "export")
factors = functools.partial(_run, "factors")
figures = functools.partial(_run, "figures")
judge = functools.partial(_run, "judge")
questionnaire = functools.partial(_run, "questionnaire")
report = functools.partial(_run, "report")
sweep = functools.partial(_run, "sweep")
train = functools.partial(_run, "train")
