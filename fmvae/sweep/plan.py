"""What a sweep is made of: its config, its tasks and their folders."""

import dataclasses
import functools
import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae.storage import read_json
from fmvae.training import records
from fmvae.training.checkpoints import can_be_read

_FIELDS = (
  *("runs", "num_components", "seeds"),
  *("importance_samples", "importance_images"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """One program call of a sweep: `launch.train` or `launch.evaluate`."""

  name: str  # 'mnist/seed0/K16'
  workdir: pathlib.Path
  program: str  # 'train' or 'evaluate'
  flags: tuple[str, ...]
  result: pathlib.Path  # the file that it leaves when it has succeeded
  steps: int  # of the run that it trains or evaluates, all phases together
  needs: str | None  # name of a task that must succeed first
  alike: str = ""  # the same for runs that one program can train, '': none


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
  """One row of the table: a run's K and seed."""

  run: str
  k: int | None  # None: the N(0, I) prior, after pre-training
  seed: int
  config: ConfigDict
  workdir: pathlib.Path
  pretrained: pathlib.Path | None  # workdir that it starts from

  @property
  def steps(self) -> int:
    """Those of all phases."""
    return sum(self.config.steps.values())


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
  """A sweep, laid out: a row for each point, the tasks in order."""

  points: tuple[Point, ...]
  tasks: tuple[Task, ...]


def make_config(
  arg: str | None,
  *,
  runs: Mapping[str, ConfigDict],
  num_components: Sequence[int],
  seeds: Sequence[int],
  importance_samples: int = 0,
  importance_images: int = 0,
) -> ConfigDict:
  """The config of a sweep, as its file returns it.

  Args:
    arg: what follows the file's colon: `smoke` makes it a matter of a minute,
      `run=NAME` leaves that run alone.
    runs: the config of each run by its name.
    num_components: K of the points, 0 for those that the run itself has.
    seeds: of the points.
    importance_samples: S of an estimate of the NLL of each, 0 for none.
    importance_images: of the test set that it is made on, 0 for all.

  Raises:
    ValueError: another argument.
  """
  fields = {
    "runs": dict(runs),
    "num_components": tuple(num_components),
    "seeds": tuple(seeds),
    "importance_samples": importance_samples,
    "importance_images": importance_images,
  }
  config = ConfigDict(fields, type_safe=False)
  given = config_lib.parse_argument(arg, smoke=bool, run=str)
  if "run" in given:
    if given["run"] not in config.runs:
      raise ValueError(
        f"the sweep's argument run must be one of {', '.join(config.runs)}, "
        f"got {given['run']!r}"
      )
    for name in set(config.runs) - {given["run"]}:
      del config.runs[name]
  if given.get("smoke"):
    for run in config.runs.values():
      config_lib.adapt(run, smoke=True)
    config.num_components = config.num_components[:2]
    config.seeds = config.seeds[:2]
  return config.lock()


def make(config: ConfigDict, folder: pathlib.Path) -> Plan:
  """Lays out a sweep.

  Pre-training does not depend on the mixture: points that agree in all that it
  does depend on (`config.pretraining`) share one, in a folder that is named
  after the data set, the seed and a hash of the config.

  Args:
    config: `runs` (name -> config of an experiment), `num_components` (each K
      is given to every factor, 0 leaves the run's own; empty for pre-training
      alone), `seeds`, `importance_samples` (0: no importance-sampled NLL),
      `importance_images` (0: all of the test set).
    folder: of the sweep.

  Raises:
    ValueError: an impossible config, or a folder that holds another sweep.
  """
  _validate(config)
  points: list[Point] = []
  tasks: dict[str, Task] = {}
  for seed in config.seeds:
    for name, run in config.runs.items():
      base = ConfigDict({**run.to_dict(), "seed": seed}, type_safe=False)
      pretrained = None
      if base.steps.pretrain:
        before = config_lib.pretraining(base)
        digest = hashlib.sha256(before.to_json(sort_keys=True).encode())
        of_data = pathlib.Path(run.dataset.name).stem  # which may be a path
        slug = f"{of_data}_seed{seed}_{digest.hexdigest()[:8]}"
        pretrained = folder / "pretrained" / slug
        points.append(Point(name, None, seed, before, pretrained, None))
        tasks[slug] = _train(slug, points[-1])
      for k in config.num_components:
        of_k = base.copy_and_resolve_references()
        config_lib.adapt(of_k, k=k or None)
        k = k or of_k.factors[0][1]
        workdir = folder / name / f"seed{seed}" / f"K{k}"
        points.append(Point(name, k, seed, of_k, workdir, pretrained))
        label = f"{name}/seed{seed}/K{k}"
        tasks[label] = _train(label, points[-1])
      if config.importance_samples:
        for point in points:
          if (point.run, point.seed) == (name, seed):
            task = _estimate(point, folder, config)
            tasks[task.name] = task
  for point in points:
    _named(point, lambda p=point: config_lib.validate(p.config))
    _named(point, lambda p=point: config_lib.check_chosen(p.config))
    _named(point, lambda p=point: records.check_config(p.workdir, p.config))
  return Plan(tuple(points), tuple(tasks.values()))


def _train(name: str, point: Point) -> Task:
  workdir, needs = point.workdir, point.pretrained
  flags = [f"--workdir={workdir}"]
  flags += [] if needs is None else [f"--pretrained={needs}"]
  result = workdir / "results.json"
  first = None if needs is None else needs.name
  alike = _alike(point.config)
  return Task(
    name, workdir, "train", tuple(flags), result, point.steps, first, alike
  )


def _alike(config: ConfigDict) -> str:
  try:
    text: str = config_lib.shared(config).to_json(sort_keys=True)
    return text
  except ValueError:
    return ""


def _estimate(point: Point, folder: pathlib.Path, config: ConfigDict) -> Task:
  workdir = point.workdir
  trained = str(workdir.relative_to(folder)).removeprefix("pretrained/")
  flags = [
    f"--workdir={workdir}",
    f"--importance_samples={config.importance_samples}",
  ]
  if config.importance_images:
    flags.append(f"--images={config.importance_images}")
  if point.config.patience:
    flags.append("--checkpoint=best")
  return Task(
    f"{trained}, importance-sampled NLL",
    workdir,
    "evaluate",
    tuple(flags),
    workdir / "importance.json",
    point.steps,
    trained,
  )


def _named(point: Point, check) -> None:
  try:
    check()
  except ValueError as error:
    where = "pre-training" if point.k is None else f"K = {point.k}"
    raise ValueError(f"runs.{point.run}, {where}: {error}") from error


def _validate(config: ConfigDict) -> None:
  if sorted(config.keys()) != sorted(_FIELDS):
    raise ValueError(
      f"a sweep has the fields {', '.join(_FIELDS)}, got "
      f"{', '.join(config.keys())}"
    )
  if not isinstance(config.runs, ConfigDict) or not config.runs:
    raise ValueError("config.runs must name at least one run")
  for name, run in config.runs.items():
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name) or name == "pretrained":
      raise ValueError(
        "config.runs must have names of letters, digits, '_', '.' and '-', "
        f"none 'pretrained', got {name!r}"
      )
    if not isinstance(run, ConfigDict):
      raise ValueError(
        f"config.runs.{name} must be the config of an experiment, got {run!r}"
      )
    config_lib.named(
      f"runs.{name}: ", functools.partial(config_lib.validate, run)
    )
  for field, least in (("num_components", 0), ("seeds", 0)):
    values = config[field]
    if (
      not isinstance(values, tuple | list)
      or not all(type(v) is int and v >= least for v in values)
      or len(set(values)) < len(values)
    ):
      raise ValueError(
        f"config.{field} must be different integers of at least {least}, got "
        f"{values!r}"
      )
  if not config.seeds:
    raise ValueError("config.seeds must hold at least one seed")
  for field in ("importance_samples", "importance_images"):
    num = config[field]
    if type(num) is not int or num < 0:
      raise ValueError(f"config.{field} must be an integer from 0, got {num!r}")


def write_configs(plan: Plan) -> None:
  """Leaves config.json in every workdir, which is where a task finds it."""
  for point in plan.points:
    point.workdir.mkdir(parents=True, exist_ok=True)
    records.write_config(point.workdir, point.config)


def is_done(task: Task) -> bool:
  """Whether a task has left its result, that of the run's last step.

  Training has also left the checkpoint that other tasks go on from. What cannot
  be read counts as not there, and is made again.
  """
  found = read_result(task.result)
  if not is_of(found, task.steps):
    return False
  if task.program == "train":
    return can_be_read(task.workdir, found["step"])
  samples, images = (found.get(name) for name in ("samples", "images"))
  asked = [f"--importance_samples={samples}"]
  if images != found.get("test_images"):
    asked.append(f"--images={images}")
  return set(asked) <= set(task.flags)


def is_of(found: dict[str, Any], steps: int) -> bool:
  """Whether a file is about the result of a run of so many steps."""
  return found.get("of_steps", found.get("step")) == steps


def read_result(path: pathlib.Path) -> dict[str, Any]:
  """The fields of a file that a task leaves; {} where none can be read."""
  try:
    return read_json(path)
  except (OSError, ValueError):
    return {}
