"""What wrong flags and damaged folders do: how they are drawn and judged."""

import ast
import contextlib
import dataclasses
import json
import math
import pathlib
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from experiments import digits
from experiments.studies import runs
from fmvae.training.checkpoints import complete_steps

_PATIENCE_S = 60.0  # with a program; then it is told to stop
_MEMORY = 16 * 2**30  # bytes of address space that it may take

# What a command line may hold and most fields do not take.
_HOSTILE = (
  *("None", "True", "-1", "0", "0.0", "1", "1.5", "-0.5", "1e400", "nan"),
  *("inf", "-inf", "1e39", "1e-46", "4294967296", "9223372036854775808"),
  *("-9223372036854775809", str(10**30), "", "a", "../..", "\x1b[2J", "é\n"),
  *(
    "()",
    "[]",
    "{}",
    "(1,)",
    "(0,)",
    "((1,2),)",
    "((8,20),(8,'a'))",
    "(((",
  ),
  *(
    "((0,'label'),)",
    "((0,'label',()),)",
    "((0,'label',(1,1)),)",
    "(((1,),),)",
  ),
  *("((0.0,1.0),)", "((0.5,1.0),(0.5,2.0))", "((0.0,nan),)", "{'name': 'mlp'}"),
  *("{'name': 1}", "lambda: 0", "1_000", "0x10", "1+1j", "x" * 5000),
)
_WORDS = (
  *("mlp", "conv28", "conv64", "bernoulli", "gaussian", "uci_digits", "mnist"),
  *("static", "dynamic", "threshold", "none", "cosine", "label"),
  *("factorial_mixture", "standard_normal", "newest", "best"),
)
# Flags beside the config's, by program, with a value of the right type.
_FLAGS: Mapping[str, Mapping[str, Any]] = {
  "evaluate": {"samples": 1, "importance_samples": 1, "checkpoint": "newest"},
  "explore": {"checkpoint": "newest", "out": "page.html"},
  "figures": {
    **{"figure": 4, "factor": 0, "components": (1, 2), "checkpoint": "best"},
    "out": "figure.png",
  },
  "judge": {"pictures": 10, "steps": 10},
  "questionnaire": {"pictures": 10, "seed": 0, "answers": "a.json"},
  "report": {"out": "page.html"},
  "train": {"steps_per_call": 1, "pretrained": "a", "process_id": 0},
}


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A row of the table."""

  attack: str
  tried: int
  done: int  # ended well and did what was asked for
  told: int  # ended with a sentence and exit code 1 or 75
  failed: int


class Failure(Exception):
  """A program did none of what it may do."""


class Bench:
  """Starts programs, and keeps what the attacks share."""

  def __init__(self, folder: pathlib.Path, data_dir: pathlib.Path, seed: int):
    self.folder = folder
    self.data_dir = data_dir
    self.random = random.Random(seed)
    self.runs = runs.Bench(folder, data_dir, seed)

  def call(self, program: str, arguments: list[str], log: pathlib.Path) -> int:
    """The exit code of a program of `launch`, 75 where it had to be stopped.

    Args:
      program: its name.
      arguments: of its command line.
      log: takes what it says.

    Raises:
      Failure: it does not end.
    """
    process = runs.Forked(program, arguments, log, _MEMORY)
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(_PATIENCE_S)
    if at_work := process.poll() is None:
      process.terminate()
      with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    code = process.poll()
    if code is None:
      process.kill()
      raise Failure("does not end")
    # One that only looks at a run has nothing to save.
    return 75 if at_work and program != "train" else code

  def undisturbed(self) -> pathlib.Path:
    """The workdir of a finished run that nothing happened to."""
    self.runs.undisturbed(1)
    return self.runs.run("undisturbed_1").workdir

  def named(self) -> pathlib.Path:
    """The workdir of a finished run with a named factor."""
    run = self.runs.run("named")
    if not run.workdir.exists():
      labels = "--config.dataset.labels=((0, 'label'),)"
      code = self.call("train", [*run.arguments(), labels], run.log)
      if code:
        raise RuntimeError(f"exit code {code}:\n{run.said()}")
    return run.workdir

  def halfway(self) -> pathlib.Path:
    """The workdir of a run that was stopped in its joint phase."""
    run = self.runs.run("halfway")
    if not run.workdir.exists():
      run.finish()
      last = max(complete_steps(run.workdir))
      shutil.rmtree(run.workdir / "checkpoints" / str(last))
      for name in ("results.json", "samples.png"):
        (run.workdir / name).unlink()
    return run.workdir


def attack(
  bench: Bench, name: str, times: int, say: Callable[[str], None] = print
) -> Outcome:
  """Tries one of `ATTACKS` so often; says each failure with what it takes."""
  done = told = failed = 0
  for i in range(times):
    what, judge = ATTACKS[name](bench, bench.folder / f"{name}_{i}")
    log = bench.folder / f"{name}_{i}.log"
    try:
      code = bench.call(*what, log)
      if code == 0:
        judge()
        done += 1
      else:
        check_told(code, log.read_text(errors="replace"))
        told += 1
    except Failure as failure:
      failed += 1
      say(f"{name} {i}: {failure}: {what}, see {log}")
    else:
      shutil.rmtree(bench.folder / f"{name}_{i}", ignore_errors=True)
      log.unlink()
  return Outcome(name, times, done, told, failed)


def check_told(code: int, said: str) -> None:
  """Raises Failure unless a program ended with one sentence."""
  if "Traceback" in said:
    raise Failure("a traceback")
  starts = ("error: ", "stopped")
  sentences = [x for x in said.split("\n") if x.startswith(starts)]
  if code == 1 and len(sentences) != 1:
    raise Failure(f"{len(sentences)} sentences")
  if code not in (1, 75):
    raise Failure(f"exit code {code}")


Call = tuple[str, list[str]]  # a program and its arguments
Attack = Callable[[Bench, pathlib.Path], tuple[Call, Callable[[], None]]]


def wrong_config(bench: Bench, folder: pathlib.Path):
  """A new run with one to three fields drawn at random."""
  fields = _flat(digits.get_config("smoke").to_dict())
  names = bench.random.sample(
    sorted(fields), bench.random.choice((1, 1, 1, 2, 3))
  )
  asked = {name: _draw(bench.random, fields[name]) for name in names}

  def judge() -> None:
    kept = _flat(json.loads((folder / "config.json").read_text()))
    for name, text in asked.items():
      value = _as_json(text)
      if kept[name] != (
        float(value) if isinstance(kept[name], float) else value
      ):
        raise Failure(f"{name} is {kept[name]!r}")
    _check_finite(folder)

  arguments = [
    f"--workdir={folder}",
    f"--data_dir={bench.data_dir}",
    "--config=experiments/digits.py:smoke",
    *(f"--config.{name}={text}" for name, text in asked.items()),
  ]
  return ("train", arguments), judge


def wrong_flags(bench: Bench, folder: pathlib.Path):
  """A finished run that any program looks at, or goes on with."""
  shutil.copytree(bench.named(), folder)
  program = bench.random.choice(sorted(_FLAGS))
  flags = _FLAGS[program]
  num = min(bench.random.choice((1, 1, 2)), len(flags))
  names = bench.random.sample(sorted(flags), num)
  drawn = {name: _draw(bench.random, flags[name]) for name in names}
  if program == "figures":
    drawn = {"figure": "4", **drawn}
  arguments = [
    f"--workdir={folder}",
    f"--data_dir={bench.data_dir}",
    *(f"--{name}={text}" for name, text in drawn.items()),
  ]
  return (program, arguments), lambda: _check_finite(folder)


def damage(bench: Bench, folder: pathlib.Path):
  """A run that was stopped halfway, with something in its folder broken."""
  shutil.copytree(bench.halfway(), folder, symlinks=True)
  # Most files are of checkpoints; half of the damage is beside them.
  pattern = bench.random.choice(("*", "**/*"))
  entry = bench.random.choice(sorted(folder.glob(pattern)))
  _break(bench.random, entry)
  run = bench.runs.run(folder.name)
  arguments = run.arguments()
  if bench.random.random() < 0.5:  # it has to know its config
    arguments = [a for a in arguments if not a.startswith("--config")]

  def judge() -> None:
    if not run.is_as_undisturbed():
      raise Failure(f"another end after {entry} was broken")
    wanted = bench.undisturbed()
    for name in ("results.json", "samples.png"):
      if (folder / name).read_bytes() != (wanted / name).read_bytes():
        raise Failure(f"another {name} after {entry} was broken")

  return ("train", arguments), judge


ATTACKS: dict[str, Attack] = {
  "wrong_config": wrong_config,
  "wrong_flags": wrong_flags,
  "damage": damage,
}


def _break(draw: random.Random, entry: pathlib.Path) -> None:
  """Does something random to a file or a folder."""
  other = entry.with_name(f"{draw.randrange(1000)}")
  if entry.is_dir():
    how = draw.randrange(4)
    if how == 0:
      entry.rename(other)
    elif how == 1:
      shutil.copytree(entry, other, dirs_exist_ok=True)
    else:
      shutil.rmtree(entry)
      if how == 2:
        entry.write_text("")
    return
  content = bytearray(entry.read_bytes())
  place = draw.randrange(len(content) + 1)
  how = draw.randrange(8)
  if how == 0 and place < len(content):
    content[place] ^= 1 << draw.randrange(8)
  elif how == 1:
    del content[place:]
  elif how == 2:
    content.clear()
  elif how == 3:
    content[:] = draw.randbytes(len(content))
  elif how == 4:
    content[place:place] = b"[1]"
  entry.unlink()
  if how < 5:
    entry.write_bytes(content)
  elif how == 5:
    entry.mkdir()
  elif how == 6:
    entry.symlink_to(other)


def _draw(draw: random.Random, default: Any) -> str:
  """A value for a field: a wrong one, or of the type of its default."""
  if draw.random() < 0.5:
    return draw.choice(_HOSTILE)
  return _of_type(draw, default)


def _of_type(draw: random.Random, default: Any) -> str:
  if isinstance(default, bool):
    return draw.choice(("True", "False"))
  if isinstance(default, int):
    return str(round(10 ** draw.uniform(0, 4)) * draw.choice((1, 1, 1, -1)))
  if isinstance(default, float):
    return f"{10 ** draw.uniform(-6, 3):.3g}"
  if isinstance(default, str):
    return draw.choice(_WORDS)
  if default is None:
    return draw.choice(("None", "1"))
  parts = [_of_type(draw, x) for x in draw.choices(default or (1, "a"), k=2)]
  return (
    f"({', '.join(p if p[0] in '(-0123456789' else repr(p) for p in parts)})"
  )


def _as_json(text: str) -> Any:
  """What config.json holds for the value that a flag gave."""
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  return json.loads(json.dumps(value))


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
  """Values by dotted name."""
  out: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      out |= _flat(value, f"{path}{name}.")
    else:
      out[path + name] = value
  return out


def _check_finite(folder: pathlib.Path) -> None:
  """Raises Failure for a result that is no number."""
  for path in folder.glob("*.json"):
    for name, value in _flat(json.loads(path.read_text())).items():
      if isinstance(value, float) and not math.isfinite(value):
        raise Failure(f"{path.name}: {name} is {value}")
