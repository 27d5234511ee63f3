"""What a checkpoint holds, which ones stay, and what damage does."""

import shutil
import threading

import jax
import numpy as np
import pytest

from experiments import digits
from fmvae import experiment
from fmvae.model import pack
from fmvae.training import checkpoints
from fmvae.training.checkpoints import Checkpoints, Saved

# TensorStore tells a loop of Orbax's that is closed after the first failure.
pytestmark = pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def start(prepared):
  config = digits.get_config("smoke")
  config.network.hidden = (64,)
  return experiment.init(experiment.build(config, data_dir=prepared))


def at(start, step, bound=None):
  """A state that knows its step, with the rows of metrics up to it."""
  params = jax.tree.map(lambda x: x * step, start.params)
  state = start.replace(step=jax.numpy.int32(step), params=params)
  rows = [{"step": 1, "split": "train", "bound": 0.0}]
  if bound is not None:
    rows.append({"step": step, "split": "test", "bound": bound})
  return Saved(state, "joint", rows, [{"kl_z": 0.1}], {"next_index": step})


def assert_equal(found, wanted):
  jax.tree.map(
    np.testing.assert_array_equal, pack(found.state), pack(wanted.state)
  )
  assert found.record() == wanted.record()


@pytest.fixture
def two(start, tmp_path):
  """A workdir with the checkpoints of steps 3 and 5."""
  with Checkpoints(tmp_path, keep=2) as saved:
    for step in (3, 5):
      saved.save(at(start, step))
  return tmp_path


def test_all_comes_back(start, two):
  like = jax.eval_shape(lambda: start)
  with Checkpoints(two) as saved:
    assert saved.steps() == checkpoints.complete_steps(two) == [3, 5]
    found = saved.restore(like)
    assert_equal(found, at(start, 5))
    assert_equal(saved.restore(like, 3), at(start, 3))
  # What comes back goes on: the key is a key again, not two numbers.
  assert jax.random.fold_in(found.state.key, 1).dtype == start.key.dtype


def test_who_waits_finds_what_was_saved(start, tmp_path):
  with Checkpoints(tmp_path, keep=2) as saved:
    saved.save(at(start, 3))
    saved.wait()
    assert checkpoints.complete_steps(tmp_path) == [3]


def test_the_newest_and_the_best_stay(start, tmp_path):
  like = jax.eval_shape(lambda: start)
  bounds = {1: -9.0, 2: -3.0, 3: -5.0, 4: -4.0, 5: None, 6: None}
  rows = []
  for first, last in ((1, 3), (4, 6)):  # a second process knows the first's
    with Checkpoints(tmp_path, keep=2) as saved:
      if saved.steps():
        saved.restore(like)
      for step in range(first, last + 1):
        now = at(start, step, bounds[step])
        rows += now.rows
        saved.save(Saved(now.state, rows=list(rows)))
  with Checkpoints(tmp_path) as saved:
    assert saved.steps() == [2, 5, 6]
    assert saved.best_step(like) == 2


def test_without_a_score_there_is_no_best(start, two):
  with (
    Checkpoints(two) as saved,
    pytest.raises(checkpoints.CheckpointError, match="was scored"),
  ):
    saved.best_step(start)


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_a_damaged_checkpoint_is_never_taken_for_whole(
  damage, start, two, tmp_path_factory
):
  newest, before = at(start, 5), at(start, 3)
  fell_back = 0
  files = [p for p in (two / "checkpoints" / "5").rglob("*") if p.is_file()]
  for path in sorted(files):
    copy = tmp_path_factory.mktemp(damage) / "run"
    shutil.copytree(two, copy)
    broken = copy / path.relative_to(two)
    content = bytearray(path.read_bytes())
    if not content:
      continue
    if damage == "lose":
      broken.unlink()
    else:
      middle = len(content) // 2
      content[middle] ^= 4
      broken.write_bytes(content[:middle] if damage == "cut" else content)
    with Checkpoints(copy, keep=2) as saved:
      found = saved.restore(start)
      if found.state.step == 3:
        fell_back += 1
        assert_equal(found, before)
        assert saved.steps() == [3]  # the other is out of the way, not gone
        assert [p.name for p in (copy / "unreadable").iterdir()] == ["0_step_5"]
        saved.save(newest)
      else:
        assert_equal(found, newest)
    with Checkpoints(copy) as saved:
      assert_equal(saved.restore(start), newest)
  assert fell_back >= 3


def test_a_flipped_bit_in_any_place_of_the_arrays_is_noticed(start, two):
  # Orbax itself reads most of these as other numbers.
  files = [p for p in (two / "checkpoints" / "5").rglob("*") if p.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  content = largest.read_bytes()
  with Checkpoints(two) as saved:
    for place in range(7, len(content), len(content) // 20):
      flipped = bytearray(content)
      flipped[place] ^= 1
      largest.write_bytes(flipped)
      found = saved.restore(start)  # of step 5 where nothing hangs on the bit
      assert_equal(found, at(start, int(found.state.step)))


def test_a_checkpoint_under_another_number_is_not_believed(start, two):
  folder = two / "checkpoints"
  shutil.copytree(folder / "3", folder / "999")
  with Checkpoints(two, keep=2) as saved:
    assert saved.restore(start).state.step == 5
    assert saved.steps() == [3, 5]
  assert [p.name for p in (two / "unreadable").iterdir()] == ["0_step_999"]


def test_a_checkpoint_remembers_its_config(start, tmp_path):
  config = digits.get_config("smoke")
  with Checkpoints(tmp_path, keep=2, config=config) as saved:
    saved.save(at(start, 3))
  with Checkpoints(tmp_path, keep=2, config=config) as saved:
    assert_equal(saved.restore(start), at(start, 3))
  config.learning_rate = 0.5
  message = r"learning_rate: 0.0005 there, 0.5 asked for"
  other = start.replace(params={"w": np.zeros(3)})  # as of another network
  for like in (start, other):
    with (
      Checkpoints(tmp_path, keep=2, config=config) as saved,
      pytest.raises(checkpoints.CheckpointError, match=message),
    ):
      saved.restore(like)
  assert checkpoints.complete_steps(tmp_path) == [3]


def test_when_none_can_be_read_it_is_said(start, two):
  for step in (3, 5):
    (two / "checkpoints" / str(step) / "record" / "metadata").write_text("{}")
  with (
    Checkpoints(two) as saved,
    pytest.raises(checkpoints.CheckpointError, match="step 5: its content"),
  ):
    saved.restore(start)
  assert checkpoints.complete_steps(two) == [3, 5]  # reading moves nothing


def test_what_a_killed_run_left_half_written_is_cleared(start, two):
  left = two / "checkpoints" / "7.orbax-checkpoint-tmp"
  left.mkdir()
  (left / "state").write_text("half")
  with Checkpoints(two) as saved:  # a reader leaves it to a writer
    assert saved.steps() == [3, 5]
  assert left.exists()
  with Checkpoints(two, keep=2) as saved:
    assert saved.restore(start).state.step == 5
  assert not left.exists()


def test_a_folder_that_cannot_be_made_is_an_error_at_once(start, two):
  # As on a full disk. Orbax by itself has a thread wait for it for minutes,
  # and the process cannot end before.
  before = set(threading.enumerate())
  folder = two / "checkpoints"

  def save():
    with Checkpoints(two, keep=2) as saved:
      folder.rename(two / "moved")
      folder.write_text("in the way")
      saved.save(at(start, 7))
      saved.wait()

  with pytest.raises(NotADirectoryError):
    save()
  for thread in set(threading.enumerate()) - before:
    thread.join(10)
    assert thread.daemon or not thread.is_alive(), thread
