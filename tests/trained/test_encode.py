"""Codes and exports of a run, by programs that need no training data."""

import csv
import json
import pathlib
import subprocess
import sys

import cv2
import jax
import numpy as np

import fmvae
from tests import quick

ROOT = pathlib.Path(__file__).parents[2]
# All in one process, since starting one takes seconds.
MANY = """
import json, sys
for name in ("tensorflow_datasets", "matplotlib", "jax2onnx"):
  sys.modules[name] = None
from absl import flags
from absl.testing import flagsaver
from launch import PROGRAM as program
ends = []
for line in json.loads(sys.argv[1]):
  with flagsaver.flagsaver():
    try:
      ends.append(program.main(flags.FLAGS(["PROGRAM", *line])))
    except SystemExit as end:
      ends.append(end.code)
print(json.dumps(ends))
"""


def many(program, lines):
  """What a program does with each line of flags; how each ended comes last."""
  code = MANY.replace("PROGRAM", program)
  done = subprocess.run(
    [sys.executable, "-c", code, json.dumps(lines)],
    cwd=ROOT,
    env=quick.environment(),
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done


def test_codes_of_any_images(tiny, tmp_path):
  exp, workdir = tiny
  images = exp.test.images[:5]
  folder = tmp_path / "pictures"
  (folder / "below").mkdir(parents=True)
  names = ["0.png", "1.png", "2.png", "3.png", "below/4.png"]
  for name, image in zip(names, images, strict=True):
    cv2.imwrite(str(folder / name), image[..., ::-1])
  small, empty = tmp_path / "small", tmp_path / "empty"
  small.mkdir()
  empty.mkdir()
  cv2.imwrite(str(small / "a.jpg"), images[0, :9])
  np.savez(tmp_path / "images.npz", images=images / 255)
  np.savez(tmp_path / "others.npz", x=images)
  run = f"--workdir={workdir}"

  def line(images, out):
    return (run, f"--images={tmp_path / images}", f"--out={tmp_path / out}")

  lines = [
    line("images.npz", "a.npz"),
    line("pictures", "a.csv"),
    (*line("pictures", "early.csv"), "--checkpoint=2"),
    line("small", "b.csv"),
    line("empty", "b.csv"),
    line("others.npz", "b.csv"),
    line("nowhere", "b.csv"),
    line("images.npz", "b.txt"),
    line("images.npz", "no/b.csv"),
    (*line("images.npz", "b.csv"), "--split=test"),
    (f"--out={tmp_path / 'b.csv'}",),
    (run,),
  ]
  done = many("encode", lines)
  *printed, ends = done.stdout.splitlines()
  ends = json.loads(ends)
  assert ends[:3] == [None] * 3
  for end, message in zip(
    ends[3:],
    [
      "a.jpg must have 32 x 32 pixels",
      "empty must hold pictures (.png, .jpg, .jpeg)",
      "others.npz must hold an array called 'images', got ['x']",
      "nowhere is not there",
      "--out must end in .npz or .csv",
      "no, which is not there",
      "--split is for the run's data set, without --images",
      "--workdir is needed: the folder of a run that launch.train has made.",
      "--out is needed: the .npz or .csv file to write.",
    ],
    strict=True,
  ):
    assert end.startswith("error: ")
    assert message in end
  assert f"written to {tmp_path / 'a.npz'}: 5 images" in printed
  assert "  codes [5, 5]" in printed
  assert not (tmp_path / "b.csv").exists()
  model = fmvae.load(workdir)
  loc, _ = model.encode(images)
  resp, codes = model.assign(images), model.codes(images)
  with np.load(tmp_path / "a.npz") as arrays:
    np.testing.assert_array_equal(arrays["codes"], codes)
    np.testing.assert_allclose(arrays["loc"], loc, atol=1e-5)
    np.testing.assert_allclose(
      arrays["responsibilities/colour"], resp[1], atol=1e-5
    )
    assert arrays["components/shape"].tolist() == ["disc", "bar", "triangle"]
  with (tmp_path / "a.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["image"] for row in rows] == names
  colours = np.array(model.factors[1].components)[codes[:, 1]]
  assert [row["code/colour"] for row in rows] == colours.tolist()
  np.testing.assert_allclose(
    [float(row["responsibility/colour/red"]) for row in rows],
    resp[1][:, 0],
    atol=1e-5,
  )
  with (tmp_path / "early.csv").open() as file:
    head = file.readline().split(",")
  assert head[:2] == ["image", "loc/0"]


def test_exports_of_a_run_and_what_cannot_be(tiny, tmp_path):
  exp, workdir = tiny
  (tmp_path / "file").touch()
  run = f"--workdir={workdir}"
  lines = [
    (run, f"--out={tmp_path}/jax", "--dtype=float32"),
    (run, f"--out={tmp_path}/early", "--checkpoint=2"),
    (run, f"--out={tmp_path}/onnx", "--format=onnx"),
    (run, f"--out={tmp_path}/file"),
    (f"--workdir={tmp_path}/none", f"--out={tmp_path}/onnx"),
  ]
  done = many("export", lines)
  ends = json.loads(done.stdout.splitlines()[-1])
  assert ends[:2] == [None, None]
  for end, message in zip(
    ends[2:],
    (
      "export to ONNX needs jax2onnx: pip install 'fmvae[onnx]'",
      f"{tmp_path}/file cannot be written (",
      "holds no run",
    ),
    strict=True,
  ):
    assert end.startswith("error: ")
    assert message in end
  assert "encoder.jax, decoder.jax, model.json" in done.stdout
  assert not (tmp_path / "onnx").exists()
  kept = json.loads((tmp_path / "jax" / "model.json").read_text())
  assert [f["name"] for f in kept["factors"]] == [
    *("shape", "colour", "size", "3", "4")
  ]
  assert kept["factors"][1]["components"] == ["red", "green", "blue", "yellow"]
  assert kept["images"]["encoder"] == "pictures, channels last, from 0 to 1"
  program = (tmp_path / "jax" / "encoder.jax").read_bytes()
  found = jax.export.deserialize(program).call(
    exp.test.images[:2] / np.float32(255)
  )
  assert found["responsibilities_1"].shape == (2, 4)
  early = json.loads((tmp_path / "early" / "model.json").read_text())
  assert early["factors"] == []  # the mixture has not begun
  assert list(early["encoder"]["outputs"]) == ["loc", "log_var"]
