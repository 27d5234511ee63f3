"""Several processes on one machine, as several hosts would be."""

import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.studies import faults
from fmvae.training import host, processes
from tests.launch.test_launch import ROOT, run


def test_two_processes_make_the_run_of_one_whatever_happens(bench):
  one, two = bench.run("one", steps=25), bench.run("two", 2, steps=25)
  one.finish()

  two.start()
  two.wait_for_a_step()
  two.processes[1].send_signal(signal.SIGINT)
  assert two.wait() == [host.EXIT_CONTINUE] * 2
  assert two.to_do_again() == 0
  assert "stopped by SIGINT after step" in two.said()
  assert "stopped by another process after step" in two.said()

  two.start()
  two.wait_for_a_step()
  two.processes[1].kill()
  killed = time.monotonic()
  code, _ = two.wait()
  assert time.monotonic() - killed < 60
  assert code == host.EXIT_CONTINUE
  assert faults.PEER_LOST in two.said()

  # One process with one device looks at the run and goes on with it.
  flags = (f"--workdir={two.workdir}", f"--data_dir={bench.data_dir}")
  looked = run("evaluate", *flags)
  assert looked.returncode == 0, looked.stderr
  two.num_processes = 1
  two.start()
  two.wait_for_a_step()
  two.processes[0].terminate()
  assert two.wait() == [host.EXIT_CONTINUE]
  two.num_processes = 2

  two.finish()
  assert two.said().count("written to") == 1  # one speaks for both
  (arrays, rows), (same_arrays, same_rows) = one.end(), two.end()
  for a, b in zip(arrays, same_arrays, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
  assert len(rows) == len(same_rows)
  for a, b in zip(rows, same_rows, strict=True):
    numbers = {k: v for k, v in a.items() if not isinstance(v, str)}
    assert {k: b[k] for k in numbers} == pytest.approx(numbers, rel=1e-3)


def test_a_config_that_is_refused_is_refused_by_all(bench, tmp_path):
  refused = bench.run("refused", 2)
  refused.workdir.mkdir()
  for name in ("config.json", "results.json"):  # of another run
    (refused.workdir / name).write_text("{}")
  start = time.monotonic()
  refused.start()
  assert refused.wait() == [1, 1]
  assert time.monotonic() - start < 60
  assert len(re.findall("error: workdir", refused.said())) == 2


@pytest.mark.parametrize(
  "given", [("localhost:1", None, None), (None, 2, 0), ("localhost:1", 2, None)]
)
def test_flags_that_go_together(given):
  with pytest.raises(ValueError, match="go together"):
    processes.start(*given)


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (("localhost", 2, 0), "--coordinator must be HOST:PORT, got localhost"),
    (("localhost:1", 2, 2), "--process_id must be less than"),
  ],
)
def test_flags_that_cannot_be_right(given, message):
  with pytest.raises(ValueError, match=message):
    processes.start(*given)


def free_port():
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    return listener.getsockname()[1]


def start_all(code, count):
  """What `count` processes say that run some code, and how they end."""
  started = [
    subprocess.Popen(
      [sys.executable, *code, str(i)],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(count)
  ]
  said = [process.communicate(timeout=120)[0] for process in started]
  return said, [process.returncode for process in started]


_TWO = """
import sys
from fmvae.training import processes
own = int(sys.argv[1])
processes.start("localhost:{port}", 2, own, {patience_s})

def fail():
  if own == 1:
    raise KeyError("of process 1")

for do, error in (
  (lambda: processes.agree({{"config.seed": 0, "config.k": own}}), ValueError),
  (lambda: processes.everywhere(fail, KeyError), KeyError),
):
  try:
    do()
  except error as failure:
    print("CAUGHT", failure, flush=True)
"""


def test_processes_agree_and_fail_together():
  code = _TWO.format(port=free_port(), patience_s=60)
  said, codes = start_all(("-c", code), 2)
  assert codes == [0, 0]
  for text in said:
    first, second = re.findall("CAUGHT (.*)", text)
    assert first == (
      "the processes of a run must agree on config.k, got 0 in process 0 and 1 "
      "in process 1"
    )
    assert "of process 1" in second


def test_a_process_that_never_comes_is_not_waited_for_forever():
  code = _TWO.format(port=free_port(), patience_s=1)
  (text,), codes = start_all(("-c", code), 1)
  assert codes == [1]
  assert text.startswith("error: not all processes of this run have come")
  assert text.count("\n") == 1


def test_two_configs_are_refused_before_anything_is_written(prepared, tmp_path):
  workdir = tmp_path / "run"
  own = (
    "import sys; i = sys.argv.pop();"
    "sys.argv += ['--process_id=' + i, '--config.seed=' + i];"
    "import runpy; runpy.run_module('launch.train', run_name='__main__')"
  )
  flags = (
    "--config=experiments/digits.py:smoke",
    f"--workdir={workdir}",
    f"--data_dir={prepared}",
    f"--coordinator=localhost:{free_port()}",
    "--num_processes=2",
  )
  said, codes = start_all(("-c", own, *flags), 2)
  assert codes == [1, 1]
  for text in said:
    assert "error: the processes of a run must agree on config.seed" in text
  assert not workdir.exists()
