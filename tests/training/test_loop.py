"""The whole loop on real digits: files, resume, faults."""

import contextlib
import dataclasses
import functools
import io
import json
import signal
import struct

import jax
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from experiments import digits
from fmvae import config as config_lib
from fmvae import data, evaluation, experiment, storage
from fmvae.model import model_at, pack, train_step
from fmvae.training import checkpoints, loop, processes, records


def small(prepared, **fields):
  config = digits.get_config("smoke")
  config.network.hidden = (16,)
  # Each step draws its images, so that they too have to be drawn again alike.
  fields = {"evaluate_every": 0, "dataset.binarisation": "dynamic"} | fields
  config.update_from_flattened_dict(fields)
  return experiment.build(config, data_dir=prepared)


def train(exp, workdir, num_devices=1, **kwargs):
  devices = jax.devices()[:num_devices]
  loop.prepare(exp, workdir, devices)
  return loop.train(exp, workdir, devices, **kwargs)


class StopAfter(processes.Signals):
  """Asks the run to stop after that call of a step, from 1; counts calls."""

  def __init__(self, call=None):
    super().__init__()
    self.call = call
    self.calls = []

  def ask_to_stop(self, call):
    self.calls.append(call)
    return call == self.call


class Crash(processes.Signals):
  """The run crashes after that call of a step."""

  def __init__(self, call):
    super().__init__()
    self.call = call

  def ask_to_stop(self, call):
    if call == self.call:
      raise KeyError(call)
    return False


class Terminate(processes.Signals):
  """SIGTERM comes while that call of a step is at work."""

  def __init__(self, call):
    super().__init__()
    self.call = call

  def ask_to_stop(self, call):
    if call == self.call:
      signal.raise_signal(signal.SIGTERM)
    return super().ask_to_stop(call)


class Onlooker(io.StringIO):
  """Takes what a run prints; notes the checkpoints that are there then."""

  def __init__(self, workdir):
    super().__init__()
    self.workdir = workdir
    self.steps = {}

  def write(self, text):
    self.steps[text] = checkpoints.complete_steps(self.workdir)
    return super().write(text)


def rows(workdir, split):
  text = (workdir / "metrics.jsonl").read_text()
  found = [json.loads(line) for line in text.splitlines()]
  return [
    {k: v for k, v in row.items() if "second" not in k}
    for row in found
    if row["split"] == split
  ]


def scalars(workdir):
  """What TensorBoard shows: {(name, step): value}."""
  shown = {}
  for path in sorted((workdir / "tensorboard").iterdir()):
    content = path.read_bytes()
    while content:  # length, its checksum, an event, its checksum
      (length,) = struct.unpack("<Q", content[:8])
      event = Event.FromString(content[12 : 12 + length])
      content = content[16 + length :]
      if event.session_log.status == SessionLog.START:  # forget what follows
        shown = {k: v for k, v in shown.items() if k[1] < event.step}
      for value in event.summary.value:
        assert (value.tag, event.step) not in shown
        shown[value.tag, event.step] = value.simple_value
  return shown


def newest(exp, workdir):
  with checkpoints.Checkpoints(workdir) as saved:
    return saved.restore(jax.eval_shape(lambda: experiment.init(exp)))


def final_state(exp, workdir):
  return pack(newest(exp, workdir).state)


def assert_same_run(exp, workdir, reference):
  """Every array bit for bit, every row but for the clock's."""
  jax.tree.map(
    np.testing.assert_array_equal,
    final_state(exp, workdir),
    final_state(exp, reference),
  )
  for split in ("train", "test"):
    assert rows(workdir, split) == rows(reference, split)
  shown = {
    (f"{row['split']}/{k}", row["step"]): np.float32(v)
    for row in rows(workdir, "train") + rows(workdir, "test")
    for k, v in row.items()
    if k not in ("step", "phase", "split")
  }
  seen = {k: v for k, v in scalars(workdir).items() if "second" not in k[0]}
  assert seen == shown


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
  """A run of 12 steps, 4 a phase: (experiment, workdir, evaluation)."""
  exp = small(prepared)
  workdir = tmp_path_factory.mktemp("finished")
  return exp, workdir, train(exp, workdir)


def test_a_run_leaves_what_a_person_looks_for(finished):
  exp, workdir, result = finished
  names = {path.name for path in workdir.iterdir()}
  assert names == {
    ".lock",
    "checkpoints",
    "config.json",
    "data.json",
    "metrics.jsonl",
    "results.json",
    "run.json",
    "samples.png",
    "tensorboard",
  }
  record = json.loads((workdir / "run.json").read_text())
  assert record["seed"] == 0
  assert [start["step"] for start in record["starts"]] == [0]
  assert {"commit", "packages", "device"} <= record["starts"][0].keys()
  assert list((workdir / "tensorboard").glob("events.out.tfevents.*"))
  training, test = rows(workdir, "train"), rows(workdir, "test")
  assert [r["step"] for r in training] == [2, 4, 6, 8, 10, 12]
  phases = ["pretrain", "prior", "joint"]
  assert [r["phase"] for r in training[::2]] == phases
  assert [(r["step"], r["phase"]) for r in test] == list(
    zip([4, 8, 12], phases, strict=True)
  )
  assert all({"used", "perplexity"} <= r.keys() for r in training[2:])
  final = json.loads((workdir / "results.json").read_text())
  assert final["step"] == 12
  assert final["bound"] == test[-1]["bound"] == result.bound
  parts = result.reconstruction - sum(result.kl_z) - sum(result.kl_r)
  np.testing.assert_allclose(parts, result.bound, rtol=1e-6)
  # A finished run is not trained again.
  before = (workdir / "metrics.jsonl").read_text()
  assert train(exp, workdir) == result
  assert (workdir / "metrics.jsonl").read_text() == before


def test_a_collapse_is_told_at_the_end_and_of_no_smoke_run(
  finished, tmp_path, caplog
):
  exp, workdir, _ = finished
  state = newest(exp, workdir).state
  (factor,) = state.prior.factors
  one = dataclasses.replace(factor, c=factor.c.at[0].set(1e9))
  state = state.replace(prior=dataclasses.replace(state.prior, factors=(one,)))
  # The mixture of 8 steps has seen 64 images: not all; all, but not as many as
  # it began at; all of them.
  for num_train, begin, times in ((1500, 20, 0), (64, 65, 0), (64, 64, 1)):
    spec = dataclasses.replace(exp.spec, num_train=num_train)
    config = exp.config.copy_and_resolve_references()
    config.init_encodings = begin
    of_spec = dataclasses.replace(exp, spec=spec, config=config)
    place = tmp_path / f"{num_train}_{begin}"
    loop.prepare(of_spec, place, jax.devices()[:1])
    with checkpoints.Checkpoints(place, keep=1) as saved:
      saved.save(checkpoints.Saved(state))
    train(of_spec, place)
    assert caplog.text.count("The mixture has collapsed") == times


def with_patience(prepared):
  """An experiment that is at its best soon, since KL[z] then weighs nothing.

  Eight evaluations of the joint phase at most, of which two without a better
  bound end it.
  """
  fields = {
    "dataset.binarisation": "threshold",
    "dataset.validation": 100,
    "steps.joint": 16,
    "evaluate_every": 2,
    "checkpoint_every": 3,
    "keep_checkpoints": 1,
    "patience": 2,
    "learning_rate": 0.03,
    "kl_z_weight": ((0, 1), (0.25, 1), (0.25, 0), (1, 0)),
    "learning_rate_decay": "none",
  }
  return small(prepared, **fields)


def test_patience_ends_a_run_with_its_best_checkpoint(prepared, tmp_path):
  exp = with_patience(prepared)
  assert len(exp.train) == exp.spec.num_train == 1400
  assert len(exp.validation) == 100
  result = train(exp, tmp_path / "whole")
  judged = rows(tmp_path / "whole", "validation")
  assert not rows(tmp_path / "whole", "test")
  last = judged[-1]["step"]
  assert last < 24  # it did not go to its end
  best = max(judged, key=lambda row: row["bound"])
  after = [r for r in judged if r["step"] > max(best["step"], 8)]
  assert len(after) == 2
  # The result is the best checkpoint's, on the test set.
  written = json.loads((tmp_path / "whole" / "results.json").read_text())
  assert written["step"] == best["step"]
  assert written["of_steps"] == 24
  assert written["validation_bound"] == best["bound"]
  assert written["bound"] == result.bound
  with checkpoints.Checkpoints(tmp_path / "whole") as saved:
    like = jax.eval_shape(lambda: experiment.init(exp))
    assert saved.best_step(like) == best["step"]
    state = saved.restore(like, best["step"]).state
  at = model_at(exp.model, exp.phases, best["step"])
  again = evaluation.evaluate(at, state, exp.test, num_data=1400)
  assert again.bound == result.bound
  # Stopped and continued, also where it has ended already, it is the same.
  for signals in (StopAfter(9), StopAfter(last - 10), None):
    try:
      train(exp, tmp_path / "parts", signals=signals)
    except processes.Stopped:
      assert signals is not None
  assert train(exp, tmp_path / "parts") == result
  for split in ("train", "validation"):
    assert rows(tmp_path / "parts", split) == rows(tmp_path / "whole", split)
  continued = json.loads((tmp_path / "parts" / "results.json").read_text())
  assert continued == written


def test_a_run_is_not_continued_on_other_data(finished):
  exp, workdir, _ = finished
  fewer = dataclasses.replace(exp.spec, num_train=1400)
  message = r"has other data \(num_train: 1500 there, 1400 here\)"
  with pytest.raises(storage.InUseError, match=message):
    train(dataclasses.replace(exp, spec=fewer), workdir)


def test_a_result_comes_after_the_checkpoint_that_it_is_about(
  prepared, tmp_path
):
  with contextlib.redirect_stdout(Onlooker(tmp_path)) as onlooker:
    train(small(prepared), tmp_path)
  (steps,) = (
    steps
    for text, steps in onlooker.steps.items()
    if text.startswith("step 12, test set")
  )
  assert steps[-1] == 12


def test_a_run_that_crashes_continues_bit_for_bit(finished, prepared, tmp_path):
  _, reference, _ = finished
  exp = small(prepared)
  with pytest.raises(KeyError):
    train(exp, tmp_path, signals=Crash(7))
  assert newest(exp, tmp_path).state.step == 4
  train(exp, tmp_path)
  assert_same_run(exp, tmp_path, reference)
  run = json.loads((tmp_path / "run.json").read_text())
  assert [start["step"] for start in run["starts"]] == [0, 4]


def test_a_run_that_is_stopped_after_every_step_is_the_same_run(
  finished, prepared, tmp_path
):
  _, reference, _ = finished
  exp = small(prepared)
  for step in range(1, 12):
    with pytest.raises(processes.Stopped, match=f"after step {step} of 12"):
      train(exp, tmp_path, signals=StopAfter(1))
    saved = newest(exp, tmp_path)
    assert saved.state.step == saved.position["next_index"] == step
    assert saved.phase == ("pretrain", "prior", "joint")[(step - 1) // 4]
    assert len(saved.pending) == step % 2  # a row every other step
  train(exp, tmp_path)
  assert_same_run(exp, tmp_path, reference)


def test_a_signal_stops_after_the_step_and_then_does_what_it_did(
  prepared, tmp_path
):
  exp = small(prepared)
  former = signal.getsignal(signal.SIGTERM)
  with pytest.raises(processes.Stopped, match="by SIGTERM after step 3 of 12"):
    train(exp, tmp_path, signals=Terminate(3))
  # Told at its last step, a run has nothing left to do but to report.
  with pytest.raises(processes.Stopped, match="by SIGTERM after step 12 of 12"):
    train(exp, tmp_path, signals=Terminate(9))
  assert not (tmp_path / "results.json").exists()
  assert newest(exp, tmp_path).state.step == 12
  assert signal.getsignal(signal.SIGTERM) is former


def test_a_run_continues_on_more_devices(finished, prepared, tmp_path):
  _, reference, _ = finished
  exp = small(prepared)
  with pytest.raises(processes.Stopped):
    train(exp, tmp_path, signals=StopAfter(6))
  train(exp, tmp_path, num_devices=4)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
    final_state(exp, tmp_path),
    final_state(exp, reference),
  )


@pytest.mark.parametrize(
  ("log_every", "num_calls"),
  [(2, 6), (3, 8)],  # stops after 2 4, 6 8, 10 12; 3 4, 6 8, 9 12
)
def test_several_steps_a_call_make_the_same_run(
  finished, prepared, tmp_path, log_every, num_calls
):
  exp = small(prepared, log_every=log_every)
  _, one, _ = finished
  if exp.config.to_dict() != finished[0].config.to_dict():
    one = tmp_path / "one"
    train(exp, one)
  signals = StopAfter()
  several = {"num_devices": 4, "steps_per_call": 2, "signals": signals}
  train(exp, tmp_path / "several", **several)
  assert signals.calls == list(range(1, num_calls + 1))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
    final_state(exp, tmp_path / "several"),
    final_state(exp, one),
  )
  pairs = zip(
    rows(tmp_path / "several", "train"), rows(one, "train"), strict=True
  )
  for x, y in pairs:
    assert all(x.pop(name) == y.pop(name) for name in ("phase", "split"))
    assert x == pytest.approx(y, rel=1e-3)


def test_images_from_disk_make_the_same_run(finished, prepared, tmp_path):
  _, reference, _ = finished
  streamed = small(prepared, **{"dataset.in_memory": False})
  assert isinstance(streamed.train.images, data.Records)
  assert isinstance(streamed.test.images, np.ndarray)
  for call, step in ((3, 3), (6, 9)):
    with pytest.raises(processes.Stopped):
      train(streamed, tmp_path / "disk", signals=StopAfter(call))
    position = newest(streamed, tmp_path / "disk").position
    assert position == {"next_index": step}
  train(streamed, tmp_path / "disk")
  assert_same_run(streamed, tmp_path / "disk", reference)


def test_another_config_is_refused_by_field(finished, prepared):
  _, workdir, _ = finished
  exp = small(prepared, **{"learning_rate": 0.5})
  with pytest.raises(ValueError, match=r"config.learning_rate: 0.0005 there"):
    loop.prepare(exp, workdir, jax.devices()[:1])
  shorter = config_lib.default()  # whose network has no field that is there
  shorter.network = {"name": "mlp"}
  with pytest.raises(ValueError, match=r"hidden: \[16\] there, None asked for"):
    records.check_config(workdir, shorter)


def test_workdir_that_cannot_be_written(prepared, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(ValueError, match="cannot be written"):
    loop.prepare(small(prepared), tmp_path / "file", jax.devices()[:1])


def test_batch_must_divide_by_the_devices(prepared, tmp_path):
  exp = small(prepared, batch_size=6)
  with pytest.raises(ValueError, match="a multiple of the 4 devices, got 6"):
    loop.prepare(exp, tmp_path, jax.devices()[:4])
  assert not list(tmp_path.iterdir())


def test_a_model_must_fit_into_memory(prepared, tmp_path):
  exp = small(prepared, **{"network.hidden": (60000, 60000)})
  with pytest.raises(ValueError, match=r"fit into .* GB, the memory of"):
    loop.prepare(exp, tmp_path, jax.devices()[:1])
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps_per_call", [1, 4])
def test_a_loss_that_is_not_finite_names_step_and_term(
  prepared, tmp_path, steps_per_call
):
  exp = small(prepared, learning_rate=1e30, log_every=4)
  for _ in range(2):  # nor is it when it is tried again
    with pytest.raises(FloatingPointError, match=r"step 2: kl_z.* not finite"):
      train(exp, tmp_path, steps_per_call=steps_per_call)
    saved = newest(exp, tmp_path)
    assert saved.state.step == saved.position["next_index"] == 1
    assert len(saved.pending) == 1
    assert all(
      np.all(np.isfinite(x)) for x in jax.tree.leaves(saved.state.params)
    )


def test_a_gradient_that_is_not_finite_is_not_saved(prepared, tmp_path):
  exp = small(prepared)

  def broken(model, phase, state, batch, axis_name):
    new, info = train_step(model, phase, state, batch, axis_name)
    factor = jax.numpy.where(state.step == 2, np.nan, 1.0)  # of the third
    params = jax.tree.map(lambda x: factor * x, new.params)
    return new.replace(params=params), info

  with pytest.raises(FloatingPointError, match=r"step 3: params not finite"):
    train(exp, tmp_path, step=broken)
  assert newest(exp, tmp_path).state.step == 2


def test_evaluation_does_not_depend_on_training_noise(finished):
  exp, workdir, result = finished
  state = newest(exp, workdir).state

  def score(**options):
    num_data = len(exp.train)
    return evaluation.evaluate(
      exp.model, state, exp.test, num_data=num_data, **options
    )

  assert score() == result
  many = score(num_samples=8)
  assert many.kl_z == pytest.approx(result.kl_z, rel=1e-5)
  assert many.bound == pytest.approx(result.bound, abs=5 * result.bound_stderr)


def test_kl_annealing_ends_at_the_plain_objective(prepared):
  plain, annealed = small(prepared), small(prepared, kl_anneal_steps=4)
  state = experiment.init(plain)
  batch = plain.train.batch(np.arange(8))
  steps = [
    jax.jit(functools.partial(train_step, e.model, e.phases[0]))
    for e in (plain, annealed)
  ]
  for step, alike in ((0, False), (2, False), (4, True), (9, True)):
    now = state.replace(step=np.int32(step))
    first, second = (
      run(now, batch)[0].params["encoder"]["Dense_1"]["kernel"] for run in steps
    )
    assert bool((first == second).all()) == alike


def test_a_learning_rate_that_decays_does_so_in_the_joint_phase(prepared):
  plain = small(prepared, learning_rate_decay="none")
  decayed = small(prepared, learning_rate_decay="cosine")
  state, batch = experiment.init(plain), plain.train.batch(np.arange(8))
  gradients = jax.tree.map(jax.numpy.ones_like, state.params)

  def steps_taken(exp):
    """The change of one weight in each of 8 updates: 4 + 4 of the smoke run."""
    optimizer = exp.phases[-1].optimizer
    opt_state, taken = optimizer.init(state.params), []
    for _ in range(8):
      updates, opt_state = optimizer.update(gradients, opt_state, state.params)
      taken.append(float(updates["encoder"]["Dense_0"]["bias"][0]))
    return np.array(taken)

  ratio = steps_taken(decayed) / steps_taken(plain)
  cosine = 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4))
  np.testing.assert_allclose(ratio, [1, 1, 1, 1, *cosine], rtol=1e-5)
  # The prior phase, between the two, moves nothing in the optimiser.
  first = experiment.init(decayed)
  step = functools.partial(train_step, decayed.model, decayed.phases[1])
  after, _ = jax.jit(step)(first, batch)
  jax.tree.map(np.testing.assert_array_equal, after.opt_state, first.opt_state)


def test_a_workdir_has_one_run_at_a_time(prepared, tmp_path):
  exp = small(prepared)
  loop.prepare(exp, tmp_path, jax.devices()[:1])
  for start in (loop.prepare, loop.train):
    with (
      storage.locked(tmp_path),
      pytest.raises(storage.InUseError, match="another run is at work in"),
    ):
      start(exp, tmp_path, jax.devices()[:1])
  assert not (tmp_path / "checkpoints").exists()
