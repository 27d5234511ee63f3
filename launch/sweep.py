"""Trains a model for each point of a sweep and makes one table of them.

  python -m launch.sweep --processes=2
  python -m launch.sweep --config=experiments/sweeps/figure3_mlp.py \\
    --manual_dir=FOLDER --processes=2
  python -m launch.sweep --config=experiments/sweeps/figure3_conv.py \\
    --engine=slurm --slurm=partition=gpu,gpus_per_node=1 --processes=20

A point is an experiment with a number of components and a seed. The folder of
the sweep gets table.csv and figure3.png, the bound against the number of
components. Started again, the same command goes on with the points that are
not finished.
"""

import itertools
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import config_flags

from fmvae.storage import clear_partial
from launch import common

if TYPE_CHECKING:
  from fmvae.sweep.engines import Engine
  from fmvae.sweep.plan import Plan, Task

flags.adopt_module_key_flags(common)  # --help shows them too
_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The file that describes the sweep. By default it is "
  "experiments/sweeps/figure3_digits.py. After a colon come its arguments: "
  "run=NAME leaves that run alone, smoke makes it a matter of a minute. Each "
  "field is a flag of its own: --config.num_components='(1,16)', "
  "--config.seeds='(0,)', --config.importance_samples=5000 (0: none) on "
  "--config.importance_images=1000 (0: all) and, for each run, those below, as "
  "in --config.runs.mnist.steps.joint=4000.",
)
_SWEEPDIR = flags.DEFINE_string(
  "sweepdir",
  None,
  "The folder where the sweep is kept. By default it is runs/NAME for a config "
  "file NAME.py, whatever run= says, and runs/NAME_smoke with smoke.",
)
_ENGINE = flags.DEFINE_enum(
  "engine",
  "local",
  ["local", "slurm"],
  "What runs the points: processes on this machine, or jobs of Slurm.",
)
_PROCESSES = flags.DEFINE_integer(
  "processes",
  1,
  "How many points run at a time. Those on this machine share its cores and "
  "GPUs.",
  lower_bound=1,
)
_TOGETHER = flags.DEFINE_integer(
  "together",
  1,
  "How many points one program trains at most, their steps taken at once, "
  "where they differ in seed and K alone: for a GPU that one point does not "
  "fill. Points with labels, patience or a prior that is neither "
  "factorial_mixture nor standard_normal are trained by themselves.",
  lower_bound=1,
)
_SLURM = flags.DEFINE_list(
  "slurm",
  [],
  "What a job asks of Slurm: parameters of submitit's SlurmExecutor, such as "
  "partition=gpu,time=600.",
)


def main(argv: list[str]) -> None:
  """Plans, checks, then runs what is not finished."""
  from fmvae import sweep

  common.set_up(argv)
  folder = pathlib.Path(
    _SWEEPDIR.value or common.default_folder(shared=("run",))
  ).absolute()
  try:
    plan = sweep.plan.make(_CONFIG.value, folder)
    engine = _engine(folder)
    if not all(map(sweep.plan.is_done, plan.tasks)):
      _prepare_data(plan)
    sweep.plan.write_configs(plan)
    clear_partial(folder)
  except (ValueError, OSError) as error:
    sys.exit(f"error: {error}")
  points = {point.workdir: point for point in plan.points}

  def report(task: "Task") -> str:
    sweep.table.write(plan.points, folder / "table.csv")
    return sweep.table.summary(points[task.workdir])

  failed = sweep.run(plan.tasks, engine, _command, report, _TOGETHER.value)
  rows = sweep.table.write(plan.points, folder / "table.csv")
  written = ["table.csv"]
  if any(row["K"] for row in rows):
    from fmvae import figures  # matplotlib loads slowly

    path = folder / "figure3.png"
    figures.write(lambda: figures.elbo_curves(rows), path, dpi=110)
    written.append("figure3.png")
  print(f"written to {folder}: {', '.join(written)}")
  if failed:
    lines = [f"  {task}: {why}" for task, why in failed.items()]
    sys.exit("\n".join([f"error: {len(failed)} tasks failed:", *lines]))


def _prepare_data(plan: "Plan") -> None:
  """Prepares every data set once, before several tasks need it."""
  from fmvae import config as config_lib
  from fmvae import experiment

  seen = set()
  for config in (point.config for point in plan.points):
    d = config.dataset
    prepared = d.name, d.in_memory, config_lib.make_fit(config)
    if prepared not in seen:
      seen.add(prepared)
      experiment.load_data(
        config,
        data_dir=common.DATA_DIR.value,
        manual_dir=common.MANUAL_DIR.value,
      )


def _engine(folder: pathlib.Path) -> "Engine":
  from fmvae import sweep

  if _ENGINE.value == "local":
    return sweep.engines.Local(_PROCESSES.value)
  parameters = {}
  for entry in _SLURM.value:
    key, equals, value = entry.partition("=")
    if not equals:
      raise ValueError(f"--slurm must hold name=value, got {entry!r}")
    parameters[key] = int(value) if value.isdecimal() else value
  return sweep.engines.Slurm(_PROCESSES.value, folder, parameters)


def _command(*tasks: "Task") -> list[str]:
  folders = [
    f"--{flag.name}={flag.value and pathlib.Path(flag.value).absolute()}"
    for flag in (common.DATA_DIR, common.MANUAL_DIR, common.COMPILATION_CACHE)
    if flag.value is not None
  ]
  of_tasks = itertools.chain.from_iterable(task.flags for task in tasks)
  program = f"launch.{tasks[0].program}"
  return [sys.executable, "-m", program, *of_tasks, *folders]


if __name__ == "__main__":
  common.run(main, "experiments/sweeps/figure3_digits.py")
