"""From the start of a process to its first training step."""

import pathlib
import subprocess
import sys
import tempfile
import time

from absl import flags

from experiments.benchmarks.measure import Row

_POLL_S = 0.01
_PATIENCE_S = 600.0


def starting(rounds: int) -> list[Row]:
  """The MLP pair on MNIST, data prepared: cold and warm compilation cache."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    _first_step(path, 0)  # prepares the data, fills the caches of the disk
    cold, warm = [], []
    for turn in range(1, rounds + 1):
      cold.append(_first_step(path / f"cold{turn}", turn))
      warm.append(_first_step(path, turn))
  what = "process start to the end of step 1, MLP pair on MNIST"
  return [
    Row(f"{what}, cold compilation cache", cold, "s", 15.0),
    Row(f"{what}, warm", warm, "s"),
  ]


def _first_step(folder: pathlib.Path, turn: int) -> float:
  """Seconds until launch.train has written the metrics of its first step."""
  workdir = folder / f"run{turn}"
  flags_given = [
    "--config=experiments/mnist_mlp.py:k=128",
    "--config.log_every=1",
    f"--workdir={workdir}",
    f"--compilation_cache={folder / 'cache'}",
  ]
  for name in ("data_dir", "manual_dir"):
    if flags.FLAGS[name].value:
      flags_given.append(f"--{name}={flags.FLAGS[name].value}")
  begin = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, "-m", "launch.train", *flags_given],
    stdout=subprocess.DEVNULL,
  )
  metrics = workdir / "metrics.jsonl"
  while not (metrics.exists() and metrics.stat().st_size):
    if process.poll() is not None or time.perf_counter() - begin > _PATIENCE_S:
      process.kill()
      raise RuntimeError(f"launch.train {' '.join(flags_given)} took no step")
    time.sleep(_POLL_S)
  seconds = time.perf_counter() - begin
  process.kill()
  process.wait()
  return seconds
