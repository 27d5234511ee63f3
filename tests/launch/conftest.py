import pytest

from experiments.studies.runs import Bench, Forked


@pytest.fixture(scope="module")
def bench(prepared, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:  # a device for each process
    patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    folder = tmp_path_factory.mktemp("faults")
    yield Bench(folder, prepared, seed=1, start=Forked)
