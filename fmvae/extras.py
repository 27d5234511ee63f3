"""What `fmvae.prior` does without and all else needs: the extra `train`."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed(by: str) -> Iterator[None]:
  """Around imports of what the extra installs.

  Args:
    by: what needs it, for the sentence.

  Raises:
    ModuleNotFoundError: one is missing; says which, and what to install.
  """
  try:
    yield
  except ModuleNotFoundError as error:
    module = (error.name or "").partition(".")[0]
    raise ModuleNotFoundError(
      f"{by} needs {module}, which is not installed: pip install "
      "'fmvae[train]', or -e '.[train]' in a clone",
      name=error.name,
    ) from error
