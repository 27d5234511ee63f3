import pytest

from experiments.studies import faults


@pytest.fixture(scope="module")
def bench(prepared, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:  # a device for each process
    patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    yield faults.Bench(tmp_path_factory.mktemp("faults"), prepared, seed=1)
