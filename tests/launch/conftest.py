import pytest

from experiments.studies.runs import Bench


@pytest.fixture(scope="module")
def bench(prepared, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:  # a device for each process
    patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    yield Bench(tmp_path_factory.mktemp("faults"), prepared, seed=1)
