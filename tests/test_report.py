"""The page that `convexsnn report` writes: what is in it, what it says is missing, and how a browser shows it."""

import base64
import json
import os
import re
import shutil
from importlib.resources import files

import numpy as np
import pytest

from accessibility import violations
from convexsnn import Gaussian, SpikingClassifier
from convexsnn.cli.app import run
from convexsnn.display.text import plotted, readable
from convexsnn.report import PageContents, render
from convexsnn.tasks import Split

pytest.importorskip("matplotlib")
SMALL = ["--witnesses", "gaussian", "--last", "48", "--depth", "2"]
XOR = ["--task", "first-last-xor", "--timesteps", "4", "--loss", "hinge"]
XOR += ["--n-train", "60", "--n-val", "20", "--n-test", "30"]
SECTIONS = ("training", "certificate", "bounds", "scores", "raster", "weights", "columns", "cost")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    out = tmp_path_factory.mktemp("searched") / "run"
    search = ["--witnesses", "search", "--rounds", "2", "--width", "4", "--effort", "2e7", "--beta", "0.05"]
    assert run(["fit", *XOR, *search, "--out", str(out)]) == 0
    return out


def fit(out, *arguments):
    assert run(["fit", *arguments, *SMALL, "--out", str(out)]) == 0
    return out


def page_of(folder, *arguments, status=0):
    assert run(["report", str(folder), *arguments]) == status
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def written(searched):
    """The file of the search's page, as `convexsnn report` makes it where nothing else is said."""
    assert run(["report", str(searched), "--out", str(searched.parent / "page.html")]) == 0
    return searched.parent / "page.html"


def section(page, name):
    return re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)[1]


def pictures(page):
    return re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">', page)


def save_data(path, **changes):
    rng = np.random.default_rng(0)
    X = rng.integers(2, size=(40, 4, 2)).astype(float)
    arrays = {"X": X, "y": X[:, 0, 0] + X[:, 1, 1], "X_test": X[:10], "y_test": X[:10, 0, 0] + X[:10, 1, 1]}
    np.savez(path, **(arrays | changes))
    return path


def test_page_of_a_search_has_all_parts_and_the_stored_numbers(searched, written):
    page = written.read_text()
    certificate = json.loads((searched / "certificate.json").read_text())
    metrics = json.loads((searched / "metrics.json").read_text())
    assert re.findall(r'<section id="(\w+)">', page) == list(SECTIONS)
    tiles = dict(re.findall(r"<li><strong>(.*?)</strong> (.*?)</li>", page))
    tiles = {name: value for value, name in tiles.items()}
    assert tiles["test accuracy"] == f"{100 * metrics['test']['accuracy']:.2f} %"
    assert tiles["neurons"] == f"{metrics['neurons']:,}"
    assert float(tiles["gap to the best readout of its neurons"]) == pytest.approx(
        certificate["relative_gap"], rel=0.05
    )
    said = section(page, "certificate")
    assert said.index("gap to the best network of its family") < said.index("no network of any kind is below")
    assert "learn the rows by heart" in said
    assert f"{certificate['primal']:.12g}" in said
    assert f"{certificate['dual']:.12g}" in said
    assert "Checked for this page" in said
    assert "says nothing about other hidden" in said
    assert f"{100 * metrics['test']['accuracy']:.2f} %" in section(page, "scores")
    assert f"{metrics['synapses']}" in section(page, "cost")
    counted = {name: len(pictures(section(page, name))) for name in SECTIONS}
    assert counted == {
        "training": 0,
        "certificate": 1,
        "bounds": 1,
        "scores": 1,
        "raster": 2,  # one of each class
        "weights": 2,
        "columns": 1,
        "cost": 1,
    }
    assert all(b"<svg" in base64.b64decode(data) for data, _ in pictures(page))


def test_page_fetches_nothing_and_is_the_same_twice(searched, written):
    page = written.read_text()
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page == page_of(searched)
    assert run(["verify", "--exact", "--model", str(searched), "--task", "first-last-xor"]) == 0  # the page is no harm


def test_chosen_inputs_are_drawn(searched, capsys):
    raster = section(page_of(searched, "--inputs", "5", "--inputs", "7", "--inputs", "9"), "raster")
    assert re.findall(r'alt="Spikes of the network on sequence (\d+) of the test split', raster) == ["5", "7", "9"]
    assert run(["report", str(searched), "--inputs", "30"]) == 2
    assert "inputs must be an integer from 0 to 29, not 30" in capsys.readouterr().err


def test_page_of_a_path_shows_every_beta_and_says_that_nothing_was_searched(tmp_path):
    page = page_of(fit(tmp_path / "run", *XOR, "--beta", "1", "--beta", "0.1", "--beta", "0.01"))
    bounds = section(page, "bounds")
    assert "were not searched" in bounds
    assert bounds.count("<tr>") == 4
    assert bounds.count("picked") == 1


def test_page_lists_every_setting_of_every_family_and_no_weights_of_given_layers(tmp_path):
    folder = tmp_path / "run"
    mixed = ["--witnesses", "gaussian+heterogeneous", "--last", "24", "--beta", "0.1"]
    assert run(["fit", *XOR, *mixed, "--out", str(folder)]) == 0
    cells = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", page_of(folder)))
    assert cells["witnesses"] == "gaussian + heterogeneous"
    assert (cells["gaussian: last"], cells["gaussian: leak"]) == ("24", "0.99")
    assert cells["heterogeneous: memory_range"] == "[0.5, 100.0]"
    small = ["--bits", "8", "--out", str(tmp_path / "small")]
    assert run(["quantise", "--model", str(folder), "--task", "first-last-xor", *small]) in (0, 1)
    page = page_of(tmp_path / "small")
    assert "<dd>given</dd>" in page
    assert "tensor(" not in page


def test_page_says_what_is_missing_without_data_and_takes_other_data(tmp_path):
    data = save_data(tmp_path / "mine.npz")
    folder = fit(tmp_path / "run", "--data", str(data))
    assert "Checked for this page" in page_of(folder)
    data.rename(tmp_path / "moved.npz")
    page = page_of(folder)
    for name in ("scores", "raster", "columns"):
        assert "there is no such file" in section(page, name)
        assert not pictures(section(page, name))
    assert "not checked for this page" in section(page, "certificate")
    assert "Checked for this page" in page_of(folder, "--data", str(tmp_path / "moved.npz"))
    rng = np.random.default_rng(1)
    other = save_data(tmp_path / "other.npz", X=rng.integers(2, size=(40, 4, 2)).astype(float))
    page = page_of(folder, "--data", str(other))
    assert "are not those that the model was trained on" in section(page, "certificate")
    assert pictures(section(page, "scores"))
    (folder / "metrics.json").unlink()
    assert "There is no metrics.json" in section(page_of(folder, "--data", str(other), status=1), "cost")


def test_a_certificate_that_does_not_hold_is_called_so(searched, tmp_path):
    folder = tmp_path / "altered"
    shutil.copytree(searched, folder)
    path = folder / "certificate.json"
    fields = json.loads(path.read_text())
    fields["dual"] = fields["primal"]
    path.write_text(json.dumps(fields | {"gap": 0.0, "relative_gap": 0.0}))
    said = section(page_of(folder, status=1), "certificate")
    assert "Does not hold: certificate.json is not the certificate in model.safetensors" in said
    assert "Checked for this page" not in said
    assert "Checking was turned off" in section(page_of(searched, "--no-verify"), "certificate")


def test_a_page_made_in_python_shows_the_data_that_it_is_given(tmp_path):
    bits = np.random.default_rng(0).integers(2, size=(60, 4))
    X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    model = SpikingClassifier(witnesses=Gaussian(depth=2, last=32), random_state=0).fit(X[:40], y[:40])
    data = {"train": (X[:40], y[:40]), "test": (X[40:], y[40:])}
    written = model.report(tmp_path / "page.html", **data, title="<bits>", inputs=[3])
    page = written.read_text()
    assert "<h1>&lt;bits&gt;</h1>" in page
    assert "Checked for this page" in section(page, "certificate")
    assert f"{100 * model.score(X[40:], y[40:]):.2f} %" in section(page, "scores")
    assert [len(pictures(section(page, name))) for name in ("scores", "raster", "cost")] == [1, 1, 1]
    assert "sequence 3 of the test split" in section(page, "raster")
    page = model.report(tmp_path / "page.html").read_text()
    assert "No data were given" in section(page, "raster")
    assert "Checking needs the training data" in section(page, "certificate")
    with pytest.raises(ValueError, match=r"test must be a pair \(X, y\)"):
        model.report(tmp_path / "page.html", test=X)


def test_names_of_files_and_classes_are_escaped(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(2, size=(40, 4, 2)).astype(float)
    y = np.where(X[:, 0, 0] > 0, "<b>bold</b>", "plain & simple")
    data = save_data(tmp_path / "<i>x</i>.npz".replace("/", "_"), X=X, y=y, X_test=X, y_test=y)
    page = page_of(fit(tmp_path / "run", "--data", str(data)))
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<i>" not in page


def test_pages_of_steps_of_several_outputs_and_of_regression(tmp_path):
    adding = ["--task", "addition:base-2", "--factored", "--timesteps", "3", "--n-train", "40", "--n-val", "5"]
    page = page_of(fit(tmp_path / "adding", *adding, "--n-test", "10"))
    assert [alt for _, alt in pictures(section(page, "scores"))] == [
        "Confusion matrix of the test split, output 0: labels down, answers across",
        "Confusion matrix of the test split, output 1: labels down, answers across",
    ]
    X = np.random.default_rng(0).normal(size=(30, 4, 2))
    data = save_data(tmp_path / "real.npz", X=X, y=X.sum(axis=1), X_test=X, y_test=X.sum(axis=1))
    page = page_of(fit(tmp_path / "real", "--data", str(data), "--regression"))
    assert len(pictures(section(page, "scores"))) == 2
    assert "R^2" not in section(page, "certificate")


def test_without_what_draws_it_says_what_to_install(searched, capsys, monkeypatch):
    monkeypatch.setattr("convexsnn.display.axes.find_spec", lambda _: None)
    assert run(["report", str(searched)]) == 2
    assert "pip install 'convexsnn[plot]'" in capsys.readouterr().err


def test_page_opens_in_a_browser_without_errors(written, browser, tmp_path):
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    complaints, asked = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:80]))
    page.on("request", lambda request: asked.append(request.url))
    address = written.as_uri()
    page.goto(address)
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    loaded = page.eval_on_selector_all("img", "all => all.map(i => i.complete && i.naturalWidth > 100)")
    assert loaded == [True] * 9
    for width in (360, 1000, 1366):  # a telephone, and laptops
        page.set_viewport_size({"width": width, "height": 768})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    tiles, training = page.locator(".summary"), page.locator("#training")
    assert training.bounding_box()["y"] + 100 < 768  # both on the first screen
    assert tiles.bounding_box()["height"] < 200
    tops = page.eval_on_selector_all("#raster img", "all => all.map(i => i.getBoundingClientRect().top)")
    assert len(tops) == 2
    assert len(set(tops)) == 1  # side by side
    for name in SECTIONS:
        part = page.locator(f"#{name}")
        assert part.bounding_box()["height"] > 40
        part.screenshot(path=tmp_path / f"{name}.png")
    for name in ("certificate", "bounds", "scores", "raster", "weights", "columns", "cost"):
        pixels = read_png(tmp_path / f"{name}.png")
        coloured = np.ptp(pixels[..., :3].astype(int), axis=2) > 60
        assert coloured.mean() > 2e-4, f"{name} shows no colours of a plot"


def read_png(path):
    from matplotlib.image import imread

    return (imread(path) * 255).round()


AWKWARD = [
    "a_$x$",
    "$\\frac$",
    "<script>alert(1)</script>",
    "two\nlines\t\x00",
    "\udcff",
    "x" * 5000,
    "\u202eright",
    "\\$1",
]


def test_labels_of_any_text_survive_the_page_and_its_pictures():
    X = np.eye(len(AWKWARD))[:, None, :].repeat(4, axis=0).repeat(2, axis=1)
    y = np.array(AWKWARD, dtype=object).repeat(4)
    model = SpikingClassifier(witnesses=Gaussian(depth=2, last=64), random_state=0).fit(X, y)
    page = render(PageContents(model, "data \udcff\n$x$", splits={"test": Split(X, y)}))
    assert page.encode()
    assert "<script" not in page
    assert "a_$x$" in section(page, "training")
    assert "x" * 61 not in page
    assert len(pictures(section(page, "scores"))) == 1
    assert len(pictures(section(page, "raster"))) >= 1


@pytest.mark.parametrize("label", AWKWARD)
def test_labels_are_one_line_without_mathematics(label):
    text = plotted(label)
    assert len(readable(label)) <= 24
    assert readable(label).isprintable()
    from matplotlib.figure import Figure

    shown = Figure().text(0.5, 0.5, text)
    assert shown._preprocess_math(text) == (readable(label), False)
    assert readable("kept as it is") == "kept as it is"
    assert readable("begin" + "." * 99 + "end").startswith("begin")
    assert readable("begin" + "." * 99 + "end").endswith("end")


def test_a_data_file_whose_name_is_not_utf8_is_reported(tmp_path):
    folder = tmp_path / "run"
    data = save_data(tmp_path / os.fsdecode(b"m\xff\n.npz"))
    assert run(["fit", "--data", str(data), *SMALL, "--out", str(folder)]) == 0
    page = page_of(folder)
    assert "Checked for this page" in page
    assert "m\\udcff" in page


def test_tables_can_be_scrolled_and_the_page_has_a_dark_side(written):
    page = written.read_text()
    assert "prefers-color-scheme: dark" in page
    assert "color-scheme: light dark" in page
    template = (files("convexsnn.report") / "parts.html").read_text()
    assert template.count("<table>") == template.count('tabindex="0" role="region"') == 1


def luminance(colour):
    """Relative luminance of #rgb or #rrggbb (WCAG 2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_has_enough_contrast_by_day_and_by_night():
    template = (files("convexsnn.report") / "shell.html").read_text()
    blocks = re.findall(r":root \{(.*?)\}", template)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block))
        for ink, papers in (("text", ("page", "note", "bad", "good")), ("soft", ("page",)), ("link", ("page",))):
            for paper in papers:
                light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


def test_axe_core_finds_no_fault(written, browser, tmp_path):
    assert violations(browser, written) == []
    several = fit(tmp_path / "run", *XOR, "--beta", "1", "--beta", "0.1")
    page_of(several, "--no-verify")
    assert violations(browser, several / "report.html", [("light", 390)]) == []


def test_what_helps_readers_of_a_screen_is_there(written):
    page = written.read_text()
    assert '<html lang="en">' in page
    assert re.findall(r"<h([1-6])", page)[:2] == ["1", "2"]
    assert page.count("<h1") == page.count("<main>") == 1
    assert all(alt.strip() for _, alt in pictures(page))
    assert len(pictures(page)) == page.count("<img")
    assert set(re.findall(r'href="#(\w+)"', page)) <= set(re.findall(r'id="(\w+)"', page))
    assert '<nav aria-label="Sections">' in page
