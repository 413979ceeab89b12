"""All that is known of a fit as one HTML page: no scripts, nothing fetched, every picture inside."""

from convexsnn.report.contents import PageContents
from convexsnn.report.page import render
from convexsnn.report.stored_metrics import read_metrics

__all__ = ["PageContents", "read_metrics", "render"]
