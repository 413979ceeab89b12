"""All that is known of a fit as one HTML page: no scripts, nothing fetched, every picture inside."""

from convexsnn.report.material import Material
from convexsnn.report.page import render

__all__ = ["Material", "render"]
