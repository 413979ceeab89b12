"""What axe-core finds wrong with a page for those who do not see it, see it badly, or have no mouse."""

import pytest

# A page and its colours by day and by night, on a telephone and on a laptop.
VIEWS = [("light", 390), ("dark", 1280)]
RUN = "axe.run(document).then(found => found.violations.map(rule => [rule.id, rule.nodes.map(node => node.html)]))"


def violations(browser, path, views=VIEWS):
    """The rules of axe-core that a page breaks, with the elements; the test is skipped without axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    broken = []
    for scheme, width in views:
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
        page.goto(path.as_uri())
        page.evaluate(axe.axe_script)
        broken += [(path.name, scheme, width, *rule) for rule in page.evaluate(RUN)]
        page.close()
    return broken
