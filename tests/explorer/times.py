"""Times of the page's engine, by network, in Chromium.

  python -m tests.explorer.times

Weights are random; a row is the median and the shortest of some pictures, in
milliseconds.
"""

import json
import pathlib
import statistics
import tempfile

import jax
import numpy as np

from fmvae import networks
from fmvae.explorer.packing import read
from fmvae.explorer.program import trace
from tests.explorer import chromium

_PAIRS = {
  "mlp 512, 512, 28x28": ("mlp", (28, 28, 1), 1, 64, {"hidden": (512, 512)}),
  "conv28": ("conv28", (28, 28, 1), 1, 64, {}),
  "conv64, width 16": ("conv64", (64, 64, 3), 6, 128, {"width": 16}),
  "conv64, width 32": ("conv64", (64, 64, 3), 6, 128, {"width": 32}),
  "conv64, width 64": ("conv64", (64, 64, 3), 6, 128, {"width": 64}),
  "conv64, width 128": ("conv64", (64, 64, 3), 6, 128, {"width": 128}),
}
_RUN = """(async (program, pictures) => {
  const engine = new Worker(URL.createObjectURL(new Blob([ENGINE])));
  const size = shape => shape.reduce((n, side) => n * side, 1);
  for (const c of program.constants) c.values = Float32Array.from(
    {length: size(c.shape)}, () => 0.1 * (Math.random() - 0.5));
  engine.postMessage({programs: {program}});
  const x = Float32Array.from(
    {length: size(program.input_shape)}, () => Math.random());
  const times = [];
  for (let n = 0; n < 2 * pictures; n++) {
    times.push(await new Promise(resolve => {
      engine.onmessage = ({data}) => resolve(data.ms);
      engine.postMessage({run: "program", id: n, inputs: [x]});
    }));
  }
  engine.terminate();
  return times.slice(pictures);
})(PROGRAM, PICTURES)"""


def main() -> None:
  with tempfile.TemporaryDirectory() as folder:
    blank = pathlib.Path(folder) / "blank.html"
    blank.write_text("<!DOCTYPE html><title>times</title>")
    with chromium.running(pathlib.Path(folder) / "profile") as page:
      page.open(blank)
      print("network,parameters,program,median_ms,shortest_ms")
      for name, pair in _PAIRS.items():
        measure(page, name, *pair)


def measure(page, title, name, shape, channels, latent, options):
  vae = networks.make(
    name, latent_dim=latent, image_shape=shape, channels=channels, **options
  )
  like = jax.eval_shape(vae.init, jax.random.key(0))
  params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), like)
  num = networks.count_params(like)
  for which, function, given in (
    ("decoder", lambda z: vae.decode(params, z), (latent,)),
    ("encoder", lambda x: vae.encode(params, x), shape),
  ):
    program = trace(function, given)
    sent = {
      "input_shape": given,
      "ops": program.ops,
      "outputs": program.outputs,
      "constants": [{"shape": c.shape} for c in program.constants],
    }
    parts = {
      "ENGINE": json.dumps(read("engine.js")),
      "PROGRAM": json.dumps(sent),
      "PICTURES": "5" if num > 5e6 else "40",
    }
    script = _RUN
    for part, value in parts.items():
      script = script.replace(part, value)
    ms = page.evaluate(script)
    print(
      f'"{title}",{num},{which},{statistics.median(ms):.1f},{min(ms):.1f}',
      flush=True,
    )


if __name__ == "__main__":
  main()
