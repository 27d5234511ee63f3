"""One HTML file in which a person composes pictures, and one about a run."""

from fmvae.explorer.packing import Explorer, pack, require_shown
from fmvae.explorer.report import report

__all__ = ["Explorer", "pack", "report", "require_shown"]
