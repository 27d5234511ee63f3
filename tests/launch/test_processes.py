"""Several processes on one machine, as several hosts would be."""

import re
import time

import numpy as np
import pytest

from experiments.studies import faults
from fmvae.training import processes


def test_two_processes_make_the_run_of_one_whatever_happens(bench):
  one, two = bench.run("one", steps=25), bench.run("two", 2, steps=25)
  one.finish()

  two.start()
  two.wait_for_a_step()
  two.processes[1].terminate()
  assert two.wait() == [processes.EXIT_CONTINUE] * 2
  assert two.to_do_again() == 0
  assert len(re.findall("stopped by SIGTERM after step", two.said())) == 2

  two.start()
  two.wait_for_a_step()
  two.processes[1].kill()
  killed = time.monotonic()
  code, _ = two.wait()
  assert time.monotonic() - killed < 60
  assert faults.PEER_LOST[code] in two.said()

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
  run = bench.run("refused", 2)
  run.workdir.mkdir()
  (run.workdir / "config.json").write_text("{}")
  start = time.monotonic()
  run.start()
  assert run.wait() == [1, 1]
  assert time.monotonic() - start < 60
  assert len(re.findall("error: workdir", run.said())) == 2


@pytest.mark.parametrize(
  "given", [("localhost:1", None, None), (None, 2, 0), ("localhost:1", 2, None)]
)
def test_flags_that_go_together(given):
  with pytest.raises(ValueError, match="go together"):
    processes.start(*given)
