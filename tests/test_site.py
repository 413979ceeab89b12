"""The site that `make docs` builds, opened in a browser on a telephone and on a laptop."""

from pathlib import Path

import pytest

from accessibility import violations

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
PAGES = [*SITE.glob("*.html"), *SITE.glob("tutorials/*.html")]


@pytest.mark.skipif(not PAGES, reason="the site is not built: make docs")
def test_pages_fit_the_screen_and_have_no_errors(browser):
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append((page.url, message.text)) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append((page.url, str(error))))
    page.on("requestfailed", lambda request: complaints.append((page.url, request.url)))
    for path in sorted(PAGES):
        page.goto(path.as_uri())
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            if not page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
                complaints.append((page.url, f"is wider than {width} pixels"))
        if not all(page.eval_on_selector_all("article img", "all => all.map(i => i.complete && i.naturalWidth > 0)")):
            complaints.append((page.url, "lacks a picture"))
    assert complaints == []


@pytest.mark.skipif(not PAGES, reason="the site is not built: make docs")
@pytest.mark.parametrize("page", ["index", "tutorials/series", "paper", "gallery/index"])
def test_axe_core_finds_no_fault(page, browser):
    assert violations(browser, SITE / f"{page}.html", [("light", 390)]) == []
