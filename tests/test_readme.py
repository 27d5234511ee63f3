"""The README's example runs, and its commands name files that exist."""

import pathlib
import re

import jax
import jax.numpy as jnp

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_example():
  blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
  (code,) = (block for block in blocks if "prior.init" in block)
  loc = jax.random.normal(jax.random.key(2), (20, 64))
  names = {"loc": loc, "log_var": jnp.zeros_like(loc), "num_data": 1000}
  exec(code, names)
  assert names["cost"].shape == (20, 2)
  assert names["z"].shape == (10, 64)
  assert names["components"].shape == (10, 2)


def test_files_exist():
  named = re.findall(r"(?:experiments|launch)[/\w]*\.(?:py|png)", TEXT)
  assert len(named) >= 5
  for path in named:
    assert (ROOT / path).exists(), path
