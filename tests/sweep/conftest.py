import pytest


@pytest.fixture(scope="session", autouse=True)
def a_checkpoint(tmp_path_factory):
  """The folder of a checkpoint; programs find it as A_CHECKPOINT."""
  import jax
  import jax.numpy as jnp

  from fmvae.model import TrainState
  from fmvae.training.checkpoints import Checkpoints, Saved

  state = TrainState(
    step=jnp.int32(4),
    params={"a": jnp.arange(1000.0)},
    opt_state=(),
    prior=None,
    named_opt_state=(),
    prior_updates=jnp.int32(0),
    key=jax.random.key(0),
  )
  workdir = tmp_path_factory.mktemp("saved")
  with Checkpoints(workdir, keep=1) as checkpoints:
    checkpoints.save(Saved(state))
  folder = workdir / "checkpoints" / "4"
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("A_CHECKPOINT", str(folder))
    yield folder
