"""Builds the pages: python -m sphinx -W -b html docs docs/_build."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import fmvae
from fmvae import fields

project = "fmvae"
author = "the fmvae authors"
version = release = fmvae.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"fmvae {release}"
html_show_copyright = False
default_role = "code"
myst_enable_extensions = ["colon_fence", "substitution"]
myst_substitutions = {
  "fields": "\n".join(
    ["| field | default | meaning |", "| --- | --- | --- |"]
    + [
      f"| `{name}` | `{field.default!r}` | {field.meaning} |"
      for name, field in fields.flat()
    ]
  )
}
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_use_ivar = True
napoleon_use_rtype = False
