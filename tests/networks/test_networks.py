import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fmvae import likelihoods, networks

SHAPES = {
  "mlp": (5, 4, 3),
  "conv28": (28, 28, 1),
  "conv64": (64, 64, 3),
  "conv": (9, 13, 2),
}
SMALL = {
  "mlp": {"hidden": (8, 6)},
  "conv28": {},
  "conv64": {"width": 4},
  "conv": {"width": 4},
}


def _make(name, likelihood, latent_dim=3, **options):
  return networks.make(
    name,
    latent_dim=latent_dim,
    image_shape=SHAPES[name],
    channels=likelihoods.get(likelihood).channels(SHAPES[name][-1]),
    **options,
  )


def _random_params(vae):
  """Drawn with NumPy, since compiling `init` takes far longer than a test."""
  rng = np.random.default_rng(0)

  def draw(leaf):
    fan_in = np.prod(leaf.shape[:-1])
    values = rng.normal(scale=np.sqrt(2 / fan_in), size=leaf.shape)
    return values.astype(leaf.dtype)

  shapes = jax.eval_shape(vae.init, jax.random.key(0))
  return jax.tree.map(draw, shapes)


@pytest.mark.parametrize(
  ("name", "likelihood", "latent_dim", "count"),
  [
    ("conv28", "bernoulli", 64, 567_745),
    ("conv64", "gaussian", 128, 27_857_670),
    # Encoder 60 512 512 2L, decoder L 512 512 60.
    (
      "mlp",
      "bernoulli",
      4,
      31_232 + 262_656 + 4_104 + 2_560 + 262_656 + 30_780,
    ),
  ],
)
def test_parameter_count(name, likelihood, latent_dim, count):
  vae = _make(name, likelihood, latent_dim)
  params = jax.eval_shape(vae.init, jax.random.key(0))
  assert networks.count_params(params) == count
  dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(params)}
  assert dtypes == {"float32"}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
  ("likelihood", "factor"), [("bernoulli", 1), ("gaussian", 2)]
)
@pytest.mark.parametrize("batch", [(), (2,), (5, 2)])
def test_shapes(name, likelihood, factor, batch):
  vae = _make(name, likelihood, **SMALL[name])
  height, width, channels = SHAPES[name]

  def run(key, x):
    params = vae.init(key)
    loc, log_var = vae.encode(params, x)
    return loc, log_var, vae.decode(params, loc)

  x = jnp.zeros((*batch, height, width, channels))
  loc, log_var, raw = jax.eval_shape(run, jax.random.key(0), x)
  assert loc.shape == log_var.shape == (*batch, 3)
  assert raw.shape == (*batch, height, width, factor * channels)
  assert raw.dtype == jnp.float32


@pytest.mark.parametrize("name", SHAPES)
def test_forward(name):
  vae = _make(name, "bernoulli", **SMALL[name])
  params = _random_params(vae)
  x = np.random.default_rng(1).uniform(size=(2, 2, *SHAPES[name]))
  x = x.astype(np.float32)

  def run(params, x):
    loc, log_var = vae.encode(params, x)
    return loc, log_var, vae.decode(params, loc)

  out = jax.jit(run)(params, x)
  mapped = jax.vmap(jax.vmap(run, (None, 0)), (None, 0))
  for value, other in zip(out, jax.jit(mapped)(params, x), strict=True):
    # Nearly all of the output depends on the input; a ReLU may cut a pixel off.
    assert (np.ptp(value, axis=(0, 1)) > 0).mean() > 0.9
    np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-4)
  assert np.abs(out[0] - out[1]).min() > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_in_double_precision_parameters_stay_single(name, dtype):
  """As those of flax's Dense do; images of either precision meet them."""
  vae = _make(name, "bernoulli", **SMALL[name])
  with jax.enable_x64(True):
    params = _random_params(vae)
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"float32"}
    x = np.random.default_rng(1).uniform(size=(2, *SHAPES[name]))
    x = jnp.asarray(x, dtype)

    def loss(params):
      loc, log_var = vae.encode(params, x)
      raw = vae.decode(params, loc)
      return jnp.mean(raw**2) + jnp.mean(log_var), (loc, log_var, raw)

    out, grads = jax.jit(jax.grad(loss, has_aux=True))(params)[::-1]
  assert {value.dtype.name for value in out} == {dtype}
  assert all(np.all(np.isfinite(value)) for value in out)
  for grad in jax.tree.leaves(grads):
    assert grad.dtype == jnp.float32
    assert np.all(np.isfinite(grad))
    assert np.any(grad != 0)


def test_conv28_layer_by_layer():
  vae = _make("conv28", "bernoulli")
  params = _random_params(vae)
  x = np.random.default_rng(1).normal(size=(2, *SHAPES["conv28"]))
  x = x.astype(np.float32)

  def expected(params, x):
    encoder, decoder = params["encoder"], params["decoder"]
    same, half, grow = (1, 1), (0, 1), (1, 2)  # grow: 7 -> 8, bottom and right
    pads = (same, half, same, half, grow, half, same, same)
    for i, (stride, pad) in enumerate(zip("12121211", pads, strict=True)):
      layer = encoder[f"Conv_{i}"]
      x = jax.lax.conv_general_dilated(
        x,
        layer["kernel"],
        (int(stride),) * 2,
        (pad, pad),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
      )
      x = jnp.maximum(x + layer["bias"][None, None, None], 0)
    code = x.reshape(2, -1) @ encoder["Dense_0"]["kernel"]
    code += encoder["Dense_0"]["bias"][None]
    loc, log_var = code[:, :3], code[:, 3:]

    x = loc @ decoder["Dense_0"]["kernel"]
    x += decoder["Dense_0"]["bias"][None]
    x = x.reshape(2, 4, 4, 64)
    for i, stride in enumerate("11212121"):
      layer = decoder[f"ConvTranspose_{i}"]
      x = jax.lax.conv_transpose(
        jnp.maximum(x, 0), layer["kernel"], (int(stride),) * 2, "SAME"
      )
      x += layer["bias"][None, None, None]
      if i == 3:
        x = jax.lax.dynamic_slice(x, (0, 0, 0, 0), (2, 7, 7, 64))
    return loc, log_var, x

  def actual(params, x):
    loc, log_var = vae.encode(params, x)
    return loc, log_var, vae.decode(params, loc)

  for ours, other in zip(
    jax.jit(actual)(params, x), jax.jit(expected)(params, x), strict=True
  ):
    np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-3)


def test_a_modulated_decoder_scales_and_shifts_each_layer():
  plain, vae = (
    _make("conv64", "gaussian", width=4, modulated=m) for m in (False, True)
  )
  params = _random_params(vae)
  decoder = params["decoder"]
  layers = [x for x in decoder if x.startswith("Dense")]
  assert len(layers) == 2 + 4  # of z, and of the maps of side 4, 8, 16 and 32
  z = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3)), jnp.float32)
  ours = jax.jit(vae.decode)(params, z)

  names = {"Dense_1": "Dense_0"}  # of those, what the plain decoder has
  names |= {x: x for x in decoder if x.startswith("Conv")}
  same = {"decoder": {new: decoder[old] for old, new in names.items()}}
  still = {x: jax.tree.map(jnp.zeros_like, decoder[x]) for x in layers[2:]}
  without = {"decoder": decoder | still}
  expected = jax.jit(plain.decode)(same, z)
  np.testing.assert_allclose(
    jax.jit(vae.decode)(without, z), expected, rtol=1e-5, atol=1e-5
  )
  assert np.abs(ours - expected).max() > 0.1

  # A scale of -1 and a shift of 1 make every map 1, whatever z is.
  ones = {
    x: {
      "kernel": jnp.zeros_like(decoder[x]["kernel"]),
      "bias": jnp.repeat(jnp.array([-1.0, 1.0]), decoder[x]["bias"].size // 2),
    }
    for x in layers[2:]
  }
  flat = jax.jit(vae.decode)({"decoder": decoder | ones}, z)
  np.testing.assert_allclose(flat[0], flat[1], rtol=1e-6)


def test_init_starts_with_moderate_variance():
  vae = _make("mlp", "bernoulli", hidden=(8,))
  params = vae.init(jax.random.key(0))
  x = np.random.default_rng(0).uniform(size=SHAPES["mlp"]).astype(np.float32)
  _, log_var = vae.encode(params, x)
  assert 0 < np.abs(log_var).max() < 3
  kernels = [half["Dense_0"]["kernel"] for half in params.values()]
  assert kernels[0].ravel()[0] != kernels[1].ravel()[0]


def test_equal_arguments_make_equal_networks():
  first = _make("mlp", "bernoulli", hidden=[8, 6])
  assert first == _make("mlp", "bernoulli", hidden=(8, 6))
  assert hash(first) == hash(_make("mlp", "bernoulli", hidden=(8, 6)))
  assert first != _make("mlp", "bernoulli", hidden=(8, 7))


@pytest.mark.parametrize(
  ("name", "arguments", "message"),
  [
    ("conv32", {}, "network.name must be one of .*conv28.*conv32"),
    ("conv28", {"image_shape": (28, 28, 3)}, r"network 'conv28'.*28, 28, 3"),
    (
      "conv64",
      {"image_shape": (16, 16, 3)},
      r"32, 32, 3\) for network 'conv64', got \(16, 16, 3\)",
    ),
    (
      "conv28",
      {"width": 2},
      r"^network.width is no option of network 'conv28', which has \[\]$",
    ),
    (
      "conv64",
      {"width": 4, "hidden": (8,), "depth": 2},
      r"network.hidden is no option of network 'conv64', which has "
      r"\['width', 'modulated'\]$",
    ),
    (
      "conv64",
      {"modulated": 1},
      "network.modulated must be True or False, got 1",
    ),
    ("conv64", {"width": True}, "network.width must be an integer .*got True"),
    ("mlp", {"image_shape": (28, 28)}, r"H, W, C.*network 'mlp'.*28, 28"),
    (
      "mlp",
      {"likelihood": "gaussian"},
      r"likelihood is no option of network 'mlp', which has \['hidden'\]$",
    ),
  ],
)
def test_make_rejects(name, arguments, message):
  defaults = {"image_shape": SHAPES.get(name), "channels": 1}
  with pytest.raises(ValueError, match=message):
    networks.make(name, latent_dim=2, **(defaults | arguments))


def test_vae_rejects_misfitting_arrays():
  vae = _make("mlp", "bernoulli", **SMALL["mlp"])
  params = jax.eval_shape(vae.init, jax.random.key(0))
  with pytest.raises(ValueError, match=r"x must .*uint8"):
    vae.encode(params, np.zeros((2, 5, 4, 3), np.uint8))
  with pytest.raises(ValueError, match=r"x must .*\(2, 4, 5, 3\)"):
    vae.encode(params, np.zeros((2, 4, 5, 3), np.float32))
  with pytest.raises(ValueError, match=r"z must have last axis 3"):
    vae.decode(params, np.zeros((2, 4), np.float32))


@pytest.mark.parametrize(
  "sides", [(8, 8), (8, 256), (12, 12), (27, 28), (96, 40), (250, 201)]
)
def test_the_adapting_pair_takes_any_size(sides):
  vae = networks.make(
    "conv",
    latent_dim=3,
    image_shape=(*sides, 4),
    channels=8,
    width=4,
  )
  params = jax.eval_shape(vae.init, jax.random.key(0))
  x = jax.ShapeDtypeStruct((2, *sides, 4), jnp.float32)
  loc, log_var = jax.eval_shape(vae.encode, params, x)
  assert loc.shape == log_var.shape == (2, 3)
  assert jax.eval_shape(vae.decode, params, loc).shape == (2, *sides, 8)


@pytest.mark.parametrize("sides", [(7, 20), (300, 300)])
def test_the_adapting_pair_names_what_it_takes(sides):
  with pytest.raises(ValueError, match=r"from 8 to 256 .*config.dataset.size"):
    networks.make("conv", latent_dim=3, image_shape=(*sides, 1), channels=1)


@pytest.mark.parametrize(
  ("shape", "name"),
  [
    ((28, 28, 1), "conv28"),
    ((64, 64, 3), "conv64"),
    ((32, 32, 3), "conv64"),
    ((28, 28, 3), "conv"),
    ((12, 200, 1), "conv"),
    ((8, 8, 1), "mlp"),
    ((1, 1, 30), "mlp"),
  ],
)
def test_the_network_that_fits(shape, name):
  assert networks.choose(shape)["name"] == name
  options = {"latent_dim": 3, "image_shape": shape, "channels": 2}
  chosen = networks.make(**networks.choose(shape), **options)
  assert networks.make("auto", **options) == chosen


def test_an_encoder_of_counts_sees_their_logarithms():
  options = {"latent_dim": 3, "image_shape": (1, 1, 4), "channels": 8}
  vae, plain = (
    networks.make("mlp", of_counts=c, hidden=(4,), **options) for c in (True, 0)
  )
  params = _random_params(vae)
  x = jnp.array([0.0, 1.0, 100.0, 1e6]).reshape(1, 1, 4)
  np.testing.assert_allclose(
    vae.encode(params, x), plain.encode(params, jnp.log1p(x)), rtol=1e-6
  )


def test_gated_layers_against_numpy():
  vae = networks.make(
    "gated_mlp", latent_dim=2, image_shape=(1, 3, 1), channels=1, hidden=(4,)
  )
  params = _random_params(vae)
  z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
  gate, last = (
    jax.tree.map(np.float64, params["decoder"][name])
    for name in ("GatedDense_0", "Dense_0")
  )
  both = z @ gate["Dense_0"]["kernel"] + gate["Dense_0"]["bias"]
  hidden = both[:, :4] / (1 + np.exp(-both[:, 4:]))
  wanted = hidden @ last["kernel"] + last["bias"]
  found = vae.decode(params, z)
  np.testing.assert_allclose(found.reshape(5, 3), wanted, rtol=1e-4, atol=1e-5)
