import gc
import os
import tempfile
from pathlib import Path

from tests import quick

# Before anything imports jax: several devices for the parallel tests, and a
# compilation cache for this run, its workers and the programs they start.
if "PYTEST_XDIST_WORKER" not in os.environ:
  _cache = tempfile.TemporaryDirectory(prefix="fmvae-tests-")
  os.environ |= {
    "XLA_FLAGS": quick.XLA_FLAGS + " --xla_force_host_platform_device_count=4",
    "JAX_COMPILATION_CACHE_DIR": f"{_cache.name}/compiled",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    # Shapes that fit by accident are an error, in programs too.
    "JAX_NUMPY_RANK_PROMOTION": "raise",
  }

import pytest

_MOST_MAPS = 30_000
# The files that take longest. They begin, so that the workers end together.
_LONG = (
  "training/test_configs_run.py",
  "launch/test_processes.py",
  "launch/test_faults.py",
  "launch/test_sweep.py",
  "training/test_loop.py",
  "model/test_step.py",
  "test_benchmarks.py",
  "launch/test_launch.py",
)


def pytest_collection_modifyitems(items):
  def place(item):
    name = item.path.relative_to(Path(__file__).parent).as_posix()
    return _LONG.index(name) if name in _LONG else len(_LONG)

  items.sort(key=place)


@pytest.fixture(scope="module", autouse=True)
def few_programs():
  """Frees compiled programs before a worker has too many of them.

  Each takes some of the 65,530 memory maps that Linux gives to a process, and
  XLA ends the process where it gets no more.
  """
  yield
  maps = Path("/proc/self/maps")
  if maps.exists() and maps.read_text().count("\n") > _MOST_MAPS:
    import jax

    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def real_files():
  """The folder of real source files; see FMVAE_MANUAL_DIR in CONTRIBUTING."""
  folder = os.environ.get("FMVAE_MANUAL_DIR")
  if folder and Path(folder).is_dir():
    return Path(folder)
  reason = (
    "real source files: set FMVAE_MANUAL_DIR to a folder with mnist/ and"
    " omniglot/"
  )
  if os.environ.get("FMVAE_REQUIRE_DATA") == "1":
    pytest.fail(reason)
  return pytest.skip(reason)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
  """A data_dir in which `uci_digits` is prepared; read only."""
  from fmvae import data

  folder = tmp_path_factory.mktemp("prepared")
  data.load("uci_digits", "train", data_dir=folder)
  return folder


@pytest.fixture(scope="session")
def mnist(real_files):
  """A data_dir in which the real `mnist` is prepared, once for all workers."""
  from fmvae import data

  folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).with_name("mnist")
  data.load("mnist", "train", data_dir=folder, manual_dir=real_files)
  return folder
