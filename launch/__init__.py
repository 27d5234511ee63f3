"""The programs."""

import sys

from fmvae import extras
from fmvae.training import host

if sys.argv[0] == "-m":  # until Python has found the program that it is to run
  host.keep_memory()
  host.watch_signals()  # what a program imports takes seconds

try:
  with extras.needed("a program"):
    import ml_collections  # noqa: F401
except ModuleNotFoundError as error:
  sys.exit(f"error: {error}")
