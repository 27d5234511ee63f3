"""Impossible configs are named by field, before anything is compiled."""

import functools
import importlib
import pathlib

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments import digits
from fmvae import config as config_lib
from fmvae import experiment

CONFIGS = sorted(
  p.stem
  for p in pathlib.Path(__file__).parent.parent.glob("experiments/*.py")
  if p.stem != "__init__"
)

INF, NAN = float("inf"), float("nan")
BAD = [
  ("factors", (), "config.factors"),
  ("factors", ((64,),), "config.factors"),
  ("factors", ((64, 0),), r"config.factors\[0\]"),
  ("factors", ((64, 4.0),), "config.factors"),
  (
    "factors",
    ((32, 4), (16, 4)),
    "sum to config.latent_dim = 64, got a sum of 48",
  ),
  ("factors", ((64, 20_000),), "config.init_encodings"),
  ("batch_size", 0, "config.batch_size"),
  ("learning_rate", "fast", "config.learning_rate"),
  ("seed", -1, "config.seed"),
  ("svi.kappa", 0.5, r"config.svi.kappa must be in \(1/2, 1\], got 0.5"),
  ("svi.tau0", 0.0, "config.svi.tau0 must"),
  ("hyperprior.s0", 0.0, "config.hyperprior.s0 must be positive and finite"),
  ("hyperprior.q0", 1.0, "config.hyperprior.q0 is not a field"),
  ("steps.joint", -1, "config.steps.joint"),
  ("steps", {"pretrain": 0, "prior": 0, "joint": 0}, "config.steps"),
  ("dataset.binarisation", "maybe", "config.dataset.binarisation"),
  ("dataset.resplit", 8_070, "config.dataset.resplit"),
  ("dataset.resplit", (24_345,), "config.dataset.resplit"),
  ("learning_rate_decay", "linear", "config.learning_rate_decay"),
  ("dataset.labels", ((1, "label"),), "names factor 1, which does not exist"),
  ("dataset.labels", ("label",), "config.dataset.labels"),
  ("dataset.labels", ((0, "label", 3),), "config.dataset.labels must hold"),
  ("dataset.labelled_fraction", 1.5, "config.dataset.labelled_fraction"),
  ("dataset.labelled_fraction", (0.5, 0.5), "or one for each of 0 labels"),
  ("dataset.labels", ((0, "a"), (0, "b")), "each factor once"),
  ("delta", 1000.0, "config.delta: it must hold points"),
  ("delta", (), "config.delta"),
  ("delta", ((0.5, 1.0), (0.4, 0.0)), "config.delta"),
  ("delta", ((0.0, -1.0),), "config.delta"),
  ("kl_z_weight", ((0.0, 20.0), (1.5, 1.0)), "config.kl_z_weight"),
  ("named_learning_rate", -1.0, "config.named_learning_rate"),
  ("named_learning_rate", NAN, "config.named_learning_rate must be a finite"),
  ("draw_named", 1.5, r"config.draw_named must be in \[0, 1\], got 1.5"),
  (
    "draw_named",
    0.5,
    "config.draw_named must be 0 unless there are factors in",
  ),
  ("dataset.shifts", -1, "config.dataset.shifts must be an integer from 0"),
  ("dataset.flips", 1, "config.dataset.flips must be True or False"),
  ("obedience", -1.0, "config.obedience must be a finite number of at least 0"),
  ("obedience", 9.0, "config.obedience must be 0 unless there are factors in"),
  ("independence", -1.0, "config.independence must be a finite number of at"),
  ("independence", 9.0, "config.independence must be 0 unless .* two factors"),
  ("learning_rate", INF, "config.learning_rate must be a finite"),
  ("learning_rate", True, "config.learning_rate must be a finite"),
  ("seed", 2**32, "config.seed must be an integer from 0 to 4294967295"),
  ("seed", True, "config.seed must be an integer"),
  ("dataset.split_seed", -1, "config.dataset.split_seed must be an integer"),
  ("dataset.binarisation_seed", 2**64, "config.dataset.binarisation_seed"),
  ("steps.joint", 10**20, "config.steps.joint must be an integer from 0 to"),
  ("steps.joint", 2**31 - 1, "config.steps must be 1 to 2147483647 steps"),
  ("kl_anneal_steps", 10**30, "config.kl_anneal_steps must be an integer"),
  ("svi.tau0", INF, "config.svi.tau0 must be a finite number"),
  ("svi.kappa", NAN, "config.svi.kappa must be a finite number"),
  ("svi.initial", NAN, "config.svi.initial must be a finite number"),
  ("hyperprior.c0", 1e39, "config.hyperprior.c0 must be a finite number"),
  ("hyperprior.s0", INF, "config.hyperprior.s0 must be a finite number"),
  ("hyperprior.m0", NAN, "config.hyperprior.m0 must be a finite number"),
  ("delta", ((0.0, 1e39),), "config.delta: it must hold points"),
  ("kl_z_weight", ((0.0, NAN),), "config.kl_z_weight: it must hold points"),
  ("factors", ((64, True),), "config.factors must be a tuple"),
  ("likelihood", "gaussian", "config.likelihood must be one for zeros"),
  ("likelihood", "poisson", "config.likelihood must be one of .*'poisson'"),
  ("dataset.threshold", 1.0, "config.dataset.threshold must be at least 0"),
  ("prior", "vampire", "config.prior must be one of .*'vampire'"),
  ("prior", "standard_normal", "config.steps.prior must be 0 for a prior"),
  ("prior", "vamp", "config.steps.prior must be 0 for a prior"),
  ("patience", 3, "config.patience must be 0 unless config.dataset.validation"),
  ("dataset.validation", -1, "config.dataset.validation must be an integer"),
  ("dataset.validation_seed", 0.5, "config.dataset.validation_seed must be an"),
  ("dataset.in_memory", False, "config.dataset.in_memory must be True unless"),
  ("dataset.name", " ", "config.dataset.name must be the name of a data set"),
  ("dataset.size", 0, "config.dataset.size must be None or an integer"),
  ("dataset.size", "8", "config.dataset.size must be None or an integer"),
  ("dataset.crop", "top", "config.dataset.crop must be one of"),
  ("dataset.colour", "red", "config.dataset.colour must be one of"),
  ("dataset.test_fraction", 1.0, "config.dataset.test_fraction must be above"),
  (
    "network",
    {"name": "auto", "width": 3},
    "config.network.width is no option",
  ),
  ("dataset.labels", ((0, "label", ()),), "config.dataset.labels must hold"),
  (
    "dataset.labels",
    ((0, "label", (1.5,)),),
    "config.dataset.labels must hold",
  ),
  (
    "dataset.labels",
    ((0, "label", ([1],)),),
    "config.dataset.labels must hold",
  ),
  ("dataset.labels", ((0, "label", "7"),), "config.dataset.labels must hold"),
  ("dataset.labels", ((0.0, "label"),), "config.dataset.labels must hold"),
  ("dataset.labels", ((True, "label"),), "config.dataset.labels must hold"),
  ("dataset.labels", ((0, []),), "config.dataset.labels must hold"),
  ("dataset.resplit", (8, 2.5), "config.dataset.resplit must be"),
  ("dataset.resplit", (0, 2), "config.dataset.resplit must be"),
  ("factors", ((64, "a"),), "config.factors must be a tuple of"),
  ("factors", ((64, (4,)),), "config.factors must be a tuple of"),
  ("delta", ((0, (1,)),), "config.delta: it must hold points"),
  ("delta", ((0, 10**400),), "config.delta: it must hold points"),
  ("likelihood", ["gaussian"], "config.likelihood must be a name"),
  ("likelihood", "b" * 10_000, "config.likelihood must be one of"),
  ("network", "mlp", "config.network must have fields"),
  ("network", {"hidden": (3,)}, "config.network.name is missing"),
  ("network.name", 3, "config.network.name must be a name"),
  ("network.name", "cnn", r"config.network.name must be one of .*'cnn'"),
  ("network.width", 3, "config.network.width is no option of network 'mlp'"),
  *(
    ("network.hidden", value, "config.network.hidden must be a tuple of int")
    for value in (0, -3, 1.5, "a", None, (0,), (1.5,), ((3,),), ("a",), (True,))
  ),
  *(
    (
      "network",
      {"name": "conv64", "width": value},
      "config.network.width must be an integer from 1",
    )
    for value in (0, 1.5, "a", None, (3,), True, 10**9)
  ),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD)
def test_bad_field_is_named(field, value, message):
  fields = config_lib.default().to_dict()
  *path, name = field.split(".")
  holder = fields
  for part in path:
    holder = holder[part]
  holder[name] = value
  with pytest.raises(ValueError, match=message):
    config_lib.validate(ConfigDict(fields))


def test_what_only_some_priors_can_be_is_named():
  def refused(message, **fields):
    config = config_lib.default()
    config.steps.prior = 0
    config.update(fields)
    with pytest.raises(ValueError, match=message):
      config_lib.validate(config)

  refused(
    r"config.factors must hold one \(D, K\) for prior 'vamp'",
    prior="vamp",
    factors=((32, 4), (32, 4)),
  )
  refused(
    "config.prior = 'vamp' needs images of zeros and ones",
    prior="vamp",
    likelihood="gaussian",
    dataset={"binarisation": "none"},
  )
  refused(
    r"config.dataset.labels must be \(\) for a prior whose components",
    prior="gaussian_mixture",
    dataset={"labels": ((0, "label"),)},
  )


def test_validation_leaves_images_to_train_on(prepared):
  config = digits.get_config()
  config.dataset.validation = 1500
  with pytest.raises(ValueError, match="validation = 1500 leaves"):
    experiment.build(config, data_dir=prepared)
  config.dataset.validation = 100
  found = {}
  for seed in (0, 1, None):
    config.dataset.validation_seed = seed
    exp = experiment.build(config, data_dir=prepared)
    assert (len(exp.train), len(exp.validation)) == (1400, 100)
    found[seed] = exp
  whole = experiment.build(digits.get_config(), data_dir=prepared).train
  last = np.asarray(whole.features["label"])[-100:]
  np.testing.assert_array_equal(found[None].validation.features["label"], last)
  first, second = (found[s].validation.features["label"] for s in (0, 1))
  assert (first != second).any()


WRONG = [
  *(None, True, -1, 1.5, NAN, 10**400, "", "x" * 10_000, b"x", {"a": 1}, {}),
  *([[1]], (((1,), 2),), ("a", "b"), {1, 2}, range(3), 1j, object()),
]


def paths(tree, before=()):
  for name, value in tree.items():
    yield (*before, name)
    if isinstance(value, dict):
      yield from paths(value, (*before, name))


@pytest.mark.parametrize(
  "path", paths(config_lib.default().to_dict()), ids=".".join
)
def test_a_wrong_kind_of_value_costs_a_sentence_with_the_field(path):
  refused = 0
  for value in WRONG:
    fields = config_lib.default().to_dict()
    functools.reduce(dict.__getitem__, path[:-1], fields)[path[-1]] = value
    try:
      config_lib.validate(ConfigDict(fields))
    except ValueError as error:
      refused += 1
      text = str(error)
      assert f"config.{'.'.join(path)}" in text, (value, text)
      assert "\n" not in text, (value, text)
      assert len(text) < 700, (value, text)
  assert refused >= len(WRONG) - 4


def test_numbers_that_no_counter_holds_reach_jax_as_floats(prepared):
  config = digits.get_config("smoke")
  config.hyperprior.b0 = config.svi.tau0 = 10**30
  exp = experiment.build(config, data_dir=prepared)
  jax.eval_shape(lambda: experiment.init(exp))
  jax.eval_shape(exp.phases[-1].step_size, 3)


def test_a_prior_without_components_has_no_labels():
  config = digits.get_config()
  config.prior, config.steps.prior = "standard_normal", 0
  config_lib.validate(config)
  config.dataset.labels = ((0, "label"),)
  with pytest.raises(ValueError, match=r"config.dataset.labels must be \(\)"):
    config_lib.validate(config)


def test_missing_field_is_named():
  fields = config_lib.default().to_dict()
  del fields["svi"]["tau0"]
  with pytest.raises(ValueError, match=r"config.svi.tau0 is missing"):
    config_lib.validate(ConfigDict(fields))


def test_bad_data_fields_are_named(prepared):
  config = digits.get_config("smoke")
  config.dataset.labels = ((0, "lable"),)
  with pytest.raises(
    ValueError, match=r"of uci_digits, \['label'\], got 'lable'"
  ):
    experiment.build(config, data_dir=prepared)
  config = digits.get_config("k=5")
  config.dataset.labels = ((0, "label"),)
  with pytest.raises(ValueError, match="label has 10 values, factor 0 has 5"):
    experiment.build(config, data_dir=prepared)
  config = digits.get_config("smoke")
  config.dataset.labels = ((0, "label", (3, 11)),)
  with pytest.raises(ValueError, match=r"values of label must.*\(3, 11\)"):
    experiment.build(config, data_dir=prepared)
  config = digits.get_config("k=1600")
  config.init_encodings = 2000
  with pytest.raises(ValueError, match="more than the 1500"):
    experiment.build(config, data_dir=prepared)
  config = digits.get_config()
  config.network.width = 3
  with pytest.raises(ValueError, match=r"config.network.width is no option"):
    experiment.build(config, data_dir=prepared)
  config = digits.get_config("smoke")
  config.network = {"name": "conv28"}
  with pytest.raises(ValueError, match=r"config.network: image_shape must be"):
    experiment.build(config, data_dir=prepared)
  config = digits.get_config("smoke")
  config.dataset.resplit = (1700, 98)
  with pytest.raises(
    ValueError, match=r"config.dataset.resplit: .*1797 images"
  ):
    experiment.build(config, data_dir=prepared)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("arg", [None, "smoke", "k=7"])
def test_every_config_is_valid(name, arg):
  module = importlib.import_module(f"experiments.{name}")
  config = module.get_config(arg)
  config_lib.validate(config)
  if arg == "k=7":
    named = [entry[0] for entry in config.dataset.labels]
    ks = [k for i, (_, k) in enumerate(config.factors) if i not in named]
    assert set(ks) == {7}


def test_every_config_states_its_command():
  for name in CONFIGS:
    text = importlib.import_module(f"experiments.{name}").__doc__
    assert "python -m launch.train" in text, name


def test_arguments_have_types():
  read = functools.partial(
    config_lib.parse_argument, smoke=bool, k=int, rate=float, run=str
  )
  assert read(None) == read("") == {}
  assert read("smoke") == read("smoke=True") == {"smoke": True}
  assert read("k=7,rate=1e-3,run=a,smoke=False") == {
    "k": 7,
    "rate": 1e-3,
    "run": "a",
    "smoke": False,
  }
  for wrong in ("many", "k", "k=", "k=1.5", "smoke=1", "7", "k=7,x=1"):
    with pytest.raises(
      ValueError, match="must be name=value with names of smo"
    ):
      read(wrong)


def test_arguments_go_together():
  config = digits.get_config("k=5,smoke")
  assert config.factors == ((16, 5),)
  assert config.init_encodings == 5
  with pytest.raises(ValueError, match="got 'many'"):
    digits.get_config("many")
