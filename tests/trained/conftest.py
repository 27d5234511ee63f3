import jax
import pytest

from fmvae.training import loop
from fmvae.training.checkpoints import Checkpoints, Saved
from tests import named


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
  """A run on shapes whose mixture has begun, as if trained: (exp, workdir)."""
  exp = named.build()
  workdir = tmp_path_factory.mktemp("tiny") / "run"
  loop.prepare(exp, workdir, jax.devices()[:1])
  state = named.with_prior(exp)
  with Checkpoints(workdir, keep=2, config=exp.config) as checkpoints:
    for step in (2, exp.phases[-1].end):
      checkpoints.save(Saved(state.replace(step=jax.numpy.int32(step))))
  return exp, workdir
