"""Writes the encoder and the decoder of a run for use without this package.

  python -m launch.export --workdir=runs/shapes --out=FOLDER
  python -m launch.export --workdir=runs/shapes --out=FOLDER --format=onnx

The folder takes encoder.jax and decoder.jax, or encoder.onnx and decoder.onnx,
and model.json, which says what goes in and comes out: shapes, units, factors
and the names of their components. The number of images is free. ONNX needs
`pip install 'fmvae[onnx]'`.
"""

import pathlib
import sys

from absl import flags

from fmvae.storage import StorageError, storing
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_OUT = flags.DEFINE_string("out", None, "The folder for the files; it is made.")
_FORMAT = flags.DEFINE_enum(
  "format",
  "jax",
  ["jax", "onnx"],
  "'jax', programs for CPU, CUDA and TPU that jax.export.deserialize reads, or "
  "'onnx'.",
)
_DTYPE = flags.DEFINE_enum(
  "dtype",
  "uint8",
  ["uint8", "float32"],
  "What the encoder takes of pictures: 'uint8' from 0 to 255, or 'float32' "
  "from 0 to 1. Vectors are float32.",
)

_READ = {
  "jax": "jax.export.deserialize(open(FILE, 'rb').read()).call(array)",
  "onnx": "onnxruntime.InferenceSession(FILE).run(None, {NAME: array})",
}


def main(argv: list[str]) -> None:
  """Restores a model and writes the files."""
  try:
    out = pathlib.Path(common.needed(_OUT))
    run = trained.restore(argv, released=True)
    with storing(out, trained.ADVICE):
      files = run.export(out, _FORMAT.value, dtype=_DTYPE.value)
  except (StorageError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(f"written to {out}: {', '.join(files)}")
  print(f"  read them by {_READ[_FORMAT.value]}; {files[-1]} has the names")


if __name__ == "__main__":
  common.run(main)
