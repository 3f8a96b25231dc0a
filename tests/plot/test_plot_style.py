"""All figures alike: nothing clipped, nothing left behind, the same bytes each time."""

import json
import re

import matplotlib as mpl
import numpy as np
import pytest

from backdrop import plot
from tests.plot.samples import checks, closed, estimate, fitted

LABEL = plot.Label("CMS", "Open Data", 137.2, 13.6)
COUNTS = np.random.default_rng(3).poisson(estimate().only("VR").nominal).astype(float)

FIGURES = {
    "prediction": lambda: plot.prediction(estimate(), "VR", COUNTS, label=LABEL),
    "sealed": lambda: plot.prediction(estimate(), "SR", sealed=True, label=LABEL),
    "unrolled": lambda: plot.prediction(estimate(two_axes=True), "VR", label=LABEL),
    "large": lambda: plot.prediction(estimate(scale=3e6), "VR", label=LABEL),
    "closure": lambda: plot.closure(closed(), panel="both", label=LABEL),
    "compare": lambda: plot.compare(
        {"abcd": estimate(), "a_method_of_a_long_name": estimate(seed=3)}, "VR", COUNTS, label=LABEL
    ),
    "shifts": lambda: plot.shifts(estimate(variations=9), "SR", label=LABEL),
    "components": lambda: plot.components(estimate(two_axes=True), "VR", "data", label=LABEL),
    "correlation": lambda: plot.covariance(estimate(), "VR", label=LABEL),
    "covariance": lambda: plot.covariance(estimate(), kind="covariance", label=LABEL),
    "replicas": lambda: plot.replicas(estimate(), "VR", label=LABEL),
    "pulls": lambda: plot.pulls(np.linspace(-2, 2, 100), label=LABEL),
    "scan": lambda: plot.scan([1, 2], [3, 4], xlabel="x [GeV]", ylabel="y", label=LABEL),
    "nuisances": lambda: plot.nuisances(fitted(), label=LABEL),
    "limits": lambda: plot.limits({"abcd": fitted(), "a_method_of_a_long_name": fitted()}, label=LABEL),
    "regions": lambda: plot.regions(checks().regions, label=LABEL),
    "variable": lambda: plot.variable(checks().variables["abcd"]["VR"]["m"], name="abcd", label=LABEL),
    "correlations": lambda: plot.correlations(checks().correlations["abcd"]["VR"], label=LABEL),
    "postfit": lambda: plot.postfit(fitted(sealed=False), "SR", label=LABEL),
}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_or_upon_another_and_no_setting_is_left_behind(name):
    before = dict(mpl.rcParams)
    figure = FIGURES[name]()
    assert dict(mpl.rcParams) == before
    width, height = figure.get_size_inches()
    with plot.style():
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
    assert box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01
    for axes in figure.axes:
        assert axes.get_window_extent().width > 0.03 * figure.bbox.width
        texts = [*axes.texts, *(axes.get_legend().get_texts() if axes.get_legend() else ())]
        boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in texts if text.get_text()]
        for i, (first, one) in enumerate(boxes):
            for second, other in boxes[i + 1 :]:
                assert not one.overlaps(other), f"'{first}' lies upon '{second}'"


@pytest.mark.parametrize("name", ["prediction", "covariance", "nuisances"])
def test_files_are_the_same_on_every_run(name, tmp_path):
    first = plot.savefig(FIGURES[name](), tmp_path / "first.png")
    second = plot.savefig(FIGURES[name](), tmp_path / "second")
    assert [path.name for path in first] == ["first.png", "first.pdf", "first.json"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert plot.svg(FIGURES[name]()) == plot.svg(FIGURES[name]())


def test_files_hold_the_numbers_and_no_date(tmp_path):
    figure = FIGURES["closure"]()
    png, pdf, text = plot.savefig(figure, tmp_path / "deep" / "closure")
    kept = json.loads(text.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert kept == plot.numbers(figure)
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in pdf.read_bytes()
    assert not re.search(rb"20\d\d-\d\d-\d\d", plot.svg(figure))


def test_a_pdf_declares_its_fonts_as_what_they_are(tmp_path):
    data = plot.savefig(FIGURES["closure"](), tmp_path / "closure")[1].read_bytes()
    # outlines as drawing commands; a TrueType font's program is not what the style's fonts are
    assert b"/Subtype /Type3" in data
    assert b"/FontFile2" not in data and b"/CIDFontType2" not in data


def test_the_order_of_files_does_not_change_them(tmp_path):
    figure = FIGURES["pulls"]()
    before = plot.svg(figure)
    plot.savefig(figure, tmp_path / "pulls")
    assert plot.svg(figure) == before


def test_any_name_can_be_drawn():
    names = ["a$b", "$x_{", r"\frac", "<script>alert(1)</script>", "100 %", "→ ∆φ ≥ 0.4", "a_b^c", "$m_{jj}$"]
    found = estimate()
    figure = plot.compare(dict.fromkeys(names, found), "VR", label="a$b $")
    plot.svg(figure)
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shown[0] == r"a\$b" and shown[3:] == names[3:]


def test_figures_stay_away_from_pyplot():
    import matplotlib.pyplot as plt

    FIGURES["pulls"]()
    assert plt.get_fignums() == []


def test_a_matplotlibrc_of_the_machine_does_not_show():
    plain = plot.svg(FIGURES["pulls"]())
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "none"}):
        assert plot.svg(FIGURES["pulls"]()) == plain


def test_label_of_a_text():
    assert plot.Label.of("ATLAS") == plot.Label("ATLAS")
    assert plot.Label.of(" CMS Open Data ") == plot.Label("CMS", "Open Data")
    assert plot.Label(com=13).right == "13 TeV"
    assert plot.Label().right == ""


def test_numbers_that_are_not_finite_are_null():
    assert plot.numbers(plot.prediction(estimate(), "VR"))["observed"] is None
    from backdrop.plot.file import plain

    assert plain([np.inf, np.float64("nan"), np.int64(3), (1.5,)]) == [None, None, 3, [1.5]]
