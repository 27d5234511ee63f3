import pytest

from experiments.studies.runs import Bench, Forked
from tests import quick


@pytest.fixture(scope="module")
def bench(prepared, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:  # a device for each process
    patch.setenv("XLA_FLAGS", quick.XLA_FLAGS)
    folder = tmp_path_factory.mktemp("faults")
    yield Bench(folder, prepared, seed=1, start=Forked)
