"""How a sweep is laid out, and what it refuses."""

import importlib
import json
import pathlib
import shutil

import pytest

from experiments import digits as single
from experiments import own
from experiments.sweeps import density, figure3_digits, figure3_mlp
from fmvae import config as config_lib
from fmvae import sweep
from fmvae.training import records

SWEEPS = sorted(
  path.stem
  for path in (pathlib.Path(__file__).parents[2] / "experiments/sweeps").glob(
    "*.py"
  )
  if path.stem != "__init__"
)


def _by_values():
  config = single.get_config("smoke")
  config.dataset.labels = ((0, "digit"),)
  config.factors, config.latent_dim = ((32, 0), (32, 4)), 64
  return config


def digits(**fields):
  config = figure3_digits.get_config("smoke").unlock()
  for name, value in fields.items():
    config[name] = value
  return config


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("arg", [None, "smoke"])
def test_every_sweep_can_be_laid_out(name, arg, tmp_path):
  module = importlib.import_module(f"experiments.sweeps.{name}")
  config = module.get_config(arg)
  plan = sweep.plan.make(config, tmp_path)
  each = [
    len(config.num_components) + (run.steps.pretrain > 0)
    for run in config.runs.values()
  ]
  assert len(plan.points) == sum(each) * len(config.seeds)
  assert "python -m launch.sweep" in module.__doc__
  assert not any(tmp_path.iterdir())  # nothing is written yet


def test_zero_leaves_each_run_its_own_components(tmp_path):
  plan = sweep.plan.make(density.get_config(), tmp_path)
  found = {p.run: (p.k, p.config.factors) for p in plan.points if p.k}
  assert found["standard_normal"] == (1, ((40, 1),))
  assert found["vamp"] == (500, ((40, 500),))
  assert found["factors4"] == (125, ((10, 125),) * 4)
  shared = {p.pretrained for p in plan.points if p.k and p.seed == 0}
  assert len(shared) == 2  # of all factorial mixtures, and none


def test_one_run_can_be_picked_by_name(tmp_path):
  plan = sweep.plan.make(figure3_mlp.get_config("run=omniglot"), tmp_path)
  assert {point.run for point in plan.points} == {"omniglot"}
  with pytest.raises(ValueError, match="one of mnist, omniglot, got 'celeb_a'"):
    figure3_mlp.get_config("run=celeb_a")
  with pytest.raises(ValueError, match=r"smoke \(bool\), run \(str\), got 'x'"):
    figure3_mlp.get_config("x")


def test_pretraining_is_shared_by_the_k_of_a_seed_and_data_set(tmp_path):
  plan = sweep.plan.make(figure3_mlp.get_config(), tmp_path)
  first = [task for task in plan.tasks if task.needs is None]
  assert len(first) == 6
  assert len(plan.tasks) == 66
  folders = {(p.run, p.seed, p.pretrained) for p in plan.points if p.k}
  assert len(folders) == 6
  by_name = {task.name: task for task in plan.tasks}
  for task in plan.tasks:
    if task.needs:
      folder = by_name[task.needs].workdir
      assert f"--pretrained={folder}" in task.flags


def test_runs_share_what_they_can_and_no_more(tmp_path):
  config = digits(seeds=(0,), num_components=(2,))
  base = config.runs.digits
  for name, field, value in (
    ("svi", "svi.kappa", 0.6),
    ("decay", "learning_rate_decay", "cosine"),
    ("anneal", "kl_anneal_steps", 2),
    ("rate", "learning_rate", 0.1),
  ):
    config.runs[name] = base.copy_and_resolve_references()
    config.runs[name].update_from_flattened_dict({field: value})
  plan = sweep.plan.make(config, tmp_path)
  folder = {p.run: p.pretrained for p in plan.points if p.k}
  assert folder["svi"] == folder["decay"] == folder["digits"]
  assert len(set(folder.values())) == 3


def test_points_are_alike_but_for_seed_and_k(tmp_path):
  config = digits(seeds=(0, 1), num_components=(2, 3))
  config.runs.other = config.runs.digits.copy_and_resolve_references()
  config.runs.other.svi.kappa = 0.6
  config.runs.patient = config.runs.digits.copy_and_resolve_references()
  config.runs.patient.update_from_flattened_dict(
    {"patience": 1, "dataset.validation": 20, "evaluate_every": 2}
  )
  tasks = sweep.plan.make(config, tmp_path).tasks
  pretraining = [task.alike for task in tasks if task.needs is None]
  assert len(pretraining) == 4  # of two seeds, with and without validation
  kinds = [set(pretraining)] + [
    {task.alike for task in tasks if task.name.startswith(f"{run}/")}
    for run in config.runs
  ]
  assert [len(kind) for kind in kinds] == [2, 1, 1, 1]
  assert len(set.union(*kinds)) == 5
  assert kinds[-1] == {""}


def test_without_pretraining_nothing_is_needed_first(tmp_path):
  config = digits(seeds=(0,))
  config.runs.digits.steps.pretrain = 0
  plan = sweep.plan.make(config, tmp_path)
  assert [task.needs for task in plan.tasks] == [None, None]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"bound": 1}'])
def test_a_damaged_result_is_none(text, tmp_path, a_checkpoint):
  (task,) = sweep.plan.make(
    digits(seeds=(0,), num_components=()), tmp_path
  ).tasks
  shutil.copytree(a_checkpoint, task.workdir / f"checkpoints/{task.steps}")
  task.result.write_text(text)
  assert not sweep.plan.is_done(task)


@pytest.mark.parametrize("file", ["record/metadata", "state/**/d/*", ""])
# After a first failure TensorStore tells the others to a closed event loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["cut", "gone", "garbage"])
def test_a_run_whose_last_checkpoint_is_damaged_is_not_done(
  file, damage, tmp_path, a_checkpoint
):
  (task,) = sweep.plan.make(
    digits(seeds=(0,), num_components=()), tmp_path
  ).tasks
  folder = task.workdir / f"checkpoints/{task.steps}"
  shutil.copytree(a_checkpoint, folder)
  task.result.write_text(json.dumps({"step": task.steps}))
  assert sweep.plan.is_done(task)
  for path in folder.glob(file or "**/*"):
    if path.is_file():
      content = path.read_bytes()
      path.unlink()
      if damage != "gone":
        half = content[: len(content) // 2]
        path.write_bytes(half if damage == "cut" else b"?" * len(content))
  assert not sweep.plan.is_done(task)


def test_importance_sampling_is_a_task_of_its_own(tmp_path):
  plan = sweep.plan.make(digits(seeds=(0,), importance_samples=7), tmp_path)
  asked = [task for task in plan.tasks if task.program == "evaluate"]
  assert len(asked) == 3
  names = [task.name for task in plan.tasks]
  for task in asked:
    assert names.index(task.needs) < names.index(task.name)
    assert "--importance_samples=7" in task.flags
    task.result.parent.mkdir(parents=True, exist_ok=True)
    assert not sweep.plan.is_done(task)
    last = task.steps
    for step, samples in ((last, 5), (last - 1, 7), (last, 70), (last, 7)):
      task.result.write_text(json.dumps({"step": step, "samples": samples}))
      assert sweep.plan.is_done(task) == ((step, samples) == (last, 7))


@pytest.mark.parametrize("asked", [0, 30])
def test_an_estimate_on_some_of_the_images(tmp_path, asked):
  config = digits(seeds=(0,), importance_samples=7, importance_images=asked)
  *_, task = sweep.plan.make(config, tmp_path).tasks
  assert ("--images=30" in task.flags) == bool(asked)
  task.result.parent.mkdir(parents=True, exist_ok=True)
  found = {"step": task.steps, "samples": 7, "test_images": 297}
  for images in (20, 30, 297):
    task.result.write_text(json.dumps({**found, "images": images}))
    assert sweep.plan.is_done(task) == (images in (asked, 297))


def test_a_run_is_done_with_the_result_and_checkpoint_of_its_last_step(
  tmp_path, a_checkpoint
):
  plan = sweep.plan.make(digits(seeds=(0,), num_components=(2,)), tmp_path)
  assert [task.steps for task in plan.tasks] == [4, 12]  # of smoke
  assert [point.steps for point in plan.points] == [4, 12]
  for task in plan.tasks:
    assert not sweep.plan.is_done(task)
    saved = task.workdir / "checkpoints"
    (saved / str(task.steps - 1)).mkdir(parents=True)
    for step in (task.steps - 1, task.steps):
      task.result.write_text(json.dumps({"step": step}))
      assert not sweep.plan.is_done(task)
    shutil.copytree(a_checkpoint, saved / str(task.steps))
    assert sweep.plan.is_done(task)
    task.result.write_text(json.dumps({"step": task.steps - 1}))
    assert not sweep.plan.is_done(task)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"num_components": (1, -1)},
      "config.num_components must be different integers",
    ),
    (
      {"num_components": (2, 2)},
      "config.num_components must be different integers",
    ),
    ({"seeds": ()}, "at least one seed"),
    ({"seeds": (0.5,)}, "config.seeds must be different integers"),
    ({"importance_samples": -1}, "config.importance_samples"),
    ({"importance_images": -1}, "config.importance_images must be"),
    ({"stray": 1}, "a sweep has the fields"),
    ({"seeds": 3}, "config.seeds must be different integers"),
    ({"seeds": ((1,),)}, "config.seeds must be different integers"),
    ({"seeds": (True,)}, "config.seeds must be different integers"),
    ({"seeds": (2**32,)}, "config.seed must be an integer from 0 to"),
    ({"num_components": "16"}, "config.num_components must be different"),
    ({"num_components": (10**20,)}, "config.init_encodings must be at least"),
    ({"importance_samples": True}, "config.importance_samples must be"),
    ({"importance_samples": (1,)}, "config.importance_samples must be"),
    ({"runs": 3}, "config.runs must name"),
    ({"runs": ["digits"]}, "config.runs must name"),
    ({"runs": {"digits": 3}}, "config.runs.digits must be the config of an"),
    (
      {"runs": {"digits": {"seed": 0}}},
      "runs.digits: config.batch_size is missing",
    ),
    (
      {"runs": {"own": own.get_config("smoke")}},
      "config.network.name must say which here, got 'auto'",
    ),
    (
      {"runs": {"digits": _by_values()}},
      r"config.factors must have K of 1 or more here, got \(\(32, 0\)",
    ),
  ],
)
def test_bad_fields_are_named(fields, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    sweep.plan.make(digits(**fields), tmp_path)


def test_a_bad_run_is_named(tmp_path):
  config = digits()
  del config.runs["digits"]
  with pytest.raises(ValueError, match=r"config.runs must name"):
    sweep.plan.make(config, tmp_path)
  config = digits()
  config.runs["a/b"] = config.runs.digits
  with pytest.raises(ValueError, match="got 'a/b'"):
    sweep.plan.make(config, tmp_path)
  config = digits()
  config.runs.digits.batch_size = 0
  with pytest.raises(
    ValueError, match=r"runs.digits: config.batch_size must be"
  ):
    sweep.plan.make(config, tmp_path)


def test_a_folder_with_another_sweep_is_refused(tmp_path):
  config = digits(seeds=(0,))
  sweep.plan.write_configs(sweep.plan.make(config, tmp_path))
  sweep.plan.make(config, tmp_path)  # the same one is welcome
  config.runs.digits.steps.joint = 9
  with pytest.raises(ValueError, match=r"K = 1.*steps.joint: 4 there, 9 asked"):
    sweep.plan.make(config, tmp_path)


def test_the_pretraining_of_a_config_leaves_out_the_mixture(tmp_path):
  config = digits().runs.digits
  first = config_lib.pretraining(config)
  config_lib.validate(first)
  assert first.steps.to_dict() == {"pretrain": 4, "prior": 0, "joint": 0}
  assert first.factors == ((16, 1),)
  assert config.steps.joint == 4  # the original is as it was
  records.write_config(tmp_path, first)
  records.check_config(tmp_path, config_lib.pretraining(first))
