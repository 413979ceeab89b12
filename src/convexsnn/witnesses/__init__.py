"""Where columns come from: one file a family of witnesses (theory.md section 4)."""

from convexsnn.witnesses.architecture import Architecture
from convexsnn.witnesses.constant import with_constant
from convexsnn.witnesses.gaussian import gaussian

__all__ = ["Architecture", "gaussian", "with_constant"]
