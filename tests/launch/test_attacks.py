"""The study of attacks in its short form: random flags, random damage."""

import pytest

from experiments.studies import attacks
from tests import quick

_TIMES = {"wrong_config": 8, "wrong_flags": 5, "damage": 5}


@pytest.fixture(scope="module")
def bench(prepared, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:  # a device for each process
    patch.setenv("XLA_FLAGS", quick.XLA_FLAGS)
    folder = tmp_path_factory.mktemp("attacks")
    yield attacks.Bench(folder, prepared, seed=2)


@pytest.mark.parametrize("name", _TIMES)
def test_a_program_does_what_it_is_asked_or_says_why_not(name, bench):
  failures = []
  outcome = attacks.attack(bench, name, _TIMES[name], failures.append)
  assert outcome.failed == 0, failures
  assert outcome.tried == _TIMES[name]
