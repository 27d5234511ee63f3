"""The faults study in its short form: real programs, signals and disks."""

import pytest

from experiments.studies import faults

# In the order in which two workers share them best.
_TIMES = {
  "kill": 3,
  "damage": 1,
  "stop": 1,
  "stop_twice": 2,
  "fill": 1,
  "freeze": 1,
  "intrude": 1,
}


@pytest.mark.parametrize("name", _TIMES)
def test_a_run_survives(name, bench, tmp_path):
  if name in faults.NEED_MOUNT and not faults.can_mount(tmp_path):
    pytest.skip("a disk that can be filled: no right to mount one")
  outcome = faults.FAULTS[name](bench, _TIMES[name])
  assert outcome.survived == outcome.tried == _TIMES[name], outcome
