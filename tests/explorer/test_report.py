"""The page about a run, made of its files."""

import json

import pytest

from experiments import digits
from fmvae import explorer
from fmvae.storage import write_json
from fmvae.training import records

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def workdir(tmp_path):
  records.write_config(tmp_path, digits.get_config("smoke"))
  rows = [
    {
      "step": step,
      "phase": phase,
      "split": split,
      "bound": -100.0 + step,
      "reconstruction": -80.0 + step,
      "kl_z/0": 19.0,
      "kl_z/1": 0.5,
      "kl_r": 0.5,
    }
    | ({} if phase == "pretrain" else {"used": 20 - step, "perplexity": 4.5})
    for step, phase, split in (
      (4, "pretrain", "train"),
      (8, "joint", "train"),
      (12, "joint", "train"),
      (12, "joint", "test"),
    )
  ]
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (tmp_path / "metrics.jsonl").write_text(lines)
  return tmp_path


def test_what_a_report_holds(workdir):
  counts = [[5, 1], [0, 4]]
  named = {
    EVIL: {"accuracy": 0.9, "names": [EVIL, "b"], "counts": counts},
  }
  result = {"step": 12, "bound": -88.0, "bound_stderr": 0.25, "named": named}
  result |= {"used": 8, "num_components": 20, "nmi": 0.375}
  write_json(workdir / "results.json", result)
  records.write_start(workdir, 0, 0)
  (workdir / "samples.png").write_bytes(b"\x89PNG")
  page = explorer.report(workdir)
  assert EVIL not in page
  assert page.count("&lt;img src=x") == 3
  for said in (
    "step 12 of 12",
    "<strong>-88.00 ± 0.25</strong>",
    "<strong>8 of 20</strong>",
    "90.0 % right",
    "<td>0.375</td>",
    "uci_digits",
    "jaxlib",
    'alt="samples" src="data:image/png;base64,iVBORw==',
  ):
    assert said in page, said
  assert page.count("data:image/svg+xml;base64,") == 2
  assert "default-src 'none'" in page
  assert "<script" not in page
  assert explorer.report(workdir) == page


def test_a_run_that_has_not_finished_and_one_that_is_damaged(workdir, tmp_path):
  assert "which has no result yet" in explorer.report(workdir)
  (workdir / "metrics.jsonl").write_text('{"step": 1}\n')
  with pytest.raises(ValueError, match="other fields than a run writes"):
    explorer.report(workdir)
  (workdir / "metrics.jsonl").write_text("{")
  with pytest.raises(ValueError, match=r"metrics\.jsonl cannot be read"):
    explorer.report(workdir)
  with pytest.raises(ValueError, match="holds no run"):
    explorer.report(tmp_path / "nowhere")
