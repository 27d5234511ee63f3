"""Trains the model that a config describes, or continues a run that stopped.

  python -m launch.train
  python -m launch.train --config=experiments/mnist_mlp.py \\
    --manual_dir=FOLDER --workdir=runs/seed1 --config.seed=1
  python -m launch.train --workdir=runs/seed1   # goes on with its own config

SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed terminal, but for nohup) all mean:
stop. The step at hand is finished, the state saved, and the program ends with
exit code 75, which says that the same command continues the run. Before the
first step there is nothing to save, and it ends when it has removed what it was
writing. A second signal ends it at once, also with 75; the run then goes on
from its last checkpoint. The loss of another process ends it with that code
too.

Several hosts that see the same workdir can train one model together:

  python -m launch.train --coordinator=HOST:PORT --num_processes=2 \\
    --process_id=0   # and 1 on the other host
  srun --ntasks=2 python -m launch.train   # Slurm's tasks find each other

Runs that differ in seed and K alone can take their steps in one program, which
fills an accelerator better; each goes on with its own config:

  python -m launch.train --workdir=runs/seed0 --workdir=runs/seed1
"""

import io
import os
import pathlib
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from fmvae.storage import InUseError, StorageError
from fmvae.training import host
from launch import common

flags.adopt_module_key_flags(common)  # --help shows them too
_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The file that describes the experiment. By default it is the config of the "
  "run that the workdir holds, or else experiments/digits.py. After a colon "
  "come its arguments, as in experiments/mnist_mlp.py:k=128: in each file k, "
  "the number of components of every factor that no label names, and smoke, to "
  "see in twelve steps that everything works; others stand in its first lines. "
  "Each field is a flag of its own, as in --config.seed=1; they are listed "
  "below.",
)
_PRETRAINED = flags.DEFINE_multi_string(
  "pretrained",
  None,
  "The folder of a finished run of the first phase alone. Training then starts "
  "from its state. With several --workdir: one for each, in their order.",
)
_RESUME = flags.DEFINE_bool(
  "resume",
  True,
  "Whether to continue the run that the workdir holds. With --noresume a "
  "workdir that holds a run is refused.",
)
_STEPS_PER_CALL = flags.DEFINE_integer(
  "steps_per_call",
  None,
  "How many training steps are sent to the device at once. By default it is "
  "one on a CPU and up to 50 on a GPU or TPU.",
  lower_bound=1,
)
_WORKDIR = flags.DEFINE_multi_string(
  "workdir",
  None,
  "The folder where the run is kept. By default it is runs/NAME for a config "
  "file NAME.py, and runs/NAME_k128 for NAME.py:k=128. Given several times, "
  "each with a config.json: runs that differ in seed and K alone, whose steps "
  "are taken in one program.",
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "The HOST:PORT of process 0, where several processes train together.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes",
  None,
  "How many processes train together, one on each host.",
  lower_bound=1,
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id",
  None,
  "The number of this process among those that train together, counted from 0.",
  lower_bound=0,
)


def main(argv: list[str]) -> None:
  """Builds the experiment, then trains it."""
  from fmvae.data import DataError
  from fmvae.training import checkpoints, processes

  common.set_up(argv)
  try:
    processes.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
  except ValueError as error:
    sys.exit(f"error: {error}")
  if not processes.is_primary():  # which speaks for all
    sys.stdout = io.StringIO()
  try:
    _train(argv)
  except (
    InUseError,
    StorageError,
    FloatingPointError,
    DataError,
    checkpoints.CheckpointError,
  ) as error:
    _end(f"error: {error}", 1)
  except processes.PeerLost as error:
    _end(str(error), host.EXIT_CONTINUE)
  except processes.Stopped as error:  # all processes alike
    print(error, file=sys.stderr)
    sys.exit(host.EXIT_CONTINUE)


def _end(message: str, code: int) -> None:
  """Ends the program, and does not wait for the other processes of the run."""
  import jax

  print(message, file=sys.stderr, flush=True)
  if jax.process_count() > 1:
    os._exit(code)
  sys.exit(code)


def _train(argv: list[str]) -> None:
  from fmvae.experiment import describe_data
  from fmvae.training import checkpoints, loop, processes, records
  from fmvae.training.run import Start

  workdirs = [
    pathlib.Path(folder or common.default_folder())
    for folder in _WORKDIR.value or [""]
  ]
  try:
    configs = processes.everywhere(lambda: _configs(workdirs), ValueError)
    loop.check_together(configs)
    processes.agree(
      {f"config.{k}": v for k, v in records.flat(configs[0]).items()}
      | {f"the version of {k}": v for k, v in records.packages().items()}
      | {
        "--steps_per_call": _STEPS_PER_CALL.value,
        "--pretrained": _PRETRAINED.value,
      }
    )
    # One process prepares the data, where it has to be.
    built = processes.on_primary(
      lambda: common.build_all(argv, configs), ValueError
    )
    experiments = processes.everywhere(
      lambda: built or common.build_all(argv, configs), ValueError
    )
    starts = [
      Start(
        experiment,
        workdir,
        checkpoints.restore_pretrained(experiment, pathlib.Path(pretrained))
        if pretrained
        else None,
      )
      for experiment, workdir, pretrained in zip(
        experiments,
        workdirs,
        _PRETRAINED.value or [""] * len(workdirs),
        strict=True,
      )
    ]
    for start in starts:
      loop.prepare(start.experiment, start.workdir)
  except ValueError as error:
    sys.exit(f"error: {error}")
  print(describe_data(experiments[0]))
  loop.train_together(starts, steps_per_call=_STEPS_PER_CALL.value)


def _configs(workdirs: Sequence[pathlib.Path]) -> list[ConfigDict]:
  """The config of each run."""
  from fmvae.training import records

  num, pretrained = len(workdirs), _PRETRAINED.value or []
  if pretrained and len(pretrained) != num:
    raise ValueError(
      f"--pretrained must be given once for each --workdir, got "
      f"{len(pretrained)} for {num}"
    )
  if num > 1 and common.config_is_given():
    raise ValueError(
      f"--config is for one --workdir, got {num}, each with a config of its own"
    )
  if num > 1:
    for workdir in workdirs:
      records.read_config(workdir)  # it is there
  return [_config(workdir) for workdir in workdirs]


def _config(workdir: pathlib.Path) -> ConfigDict:
  """What the flags say, or else the run that the workdir holds; valid."""
  from fmvae import config as config_lib
  from fmvae.training import records

  if (workdir / "config.json").exists() and not _RESUME.value:
    raise ValueError(
      f"--noresume: workdir {workdir} holds a run. Choose another --workdir."
    )
  config = _CONFIG.value
  if (workdir / "config.json").exists() and not common.config_is_given():
    config = records.read_config(workdir)
  config_lib.validate(config)
  return config


if __name__ == "__main__":
  common.run(main, "experiments/digits.py")
