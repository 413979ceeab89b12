"""All that is known of a fit as one HTML page: no scripts, nothing fetched, every picture inside."""

from convexsnn.report.contents import PageContents
from convexsnn.report.page import render

__all__ = ["PageContents", "render"]
