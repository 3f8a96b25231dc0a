"""The report: what it says, that it needs nothing else, and that a browser shows it whole."""

from __future__ import annotations

import functools
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import hist
import numpy as np
import pytest

from backdrop import Channel, Estimate, Region, report
from backdrop.correction import read_maps
from backdrop.errors import ConfigError
from backdrop.inference import Impact
from backdrop.maps import BinnedMap
from backdrop.method import card
from backdrop.methods import ABCD
from backdrop.plot import Label
from backdrop.report.account import methods
from backdrop.report.markup import Cell, element, prose, table, unformatted
from backdrop.report.record import health, warnings_of
from backdrop.report.words import Verdict, measured, rounded
from backdrop.results import Results
from backdrop.validation import Pulls
from tests.plot.samples import checks, closed, estimate, fitted, rows

SECTIONS = (
    "summary", "methods", "regions", "cut-flow", "closures", "variables", "predictions", "comparison",
    "maps", "systematics", "fit", "health", "blinding", "provenance",
)  # fmt: skip
NASTY = "<script>window.broken = 1</script> & 'Co'"


def factor():
    """A map of two variables with a systematic."""
    axes = (hist.axis.Variable([10, 20, 50], name="pt"), hist.axis.Regular(3, 0, 2.4, name="eta"))
    values = np.linspace(0.1, 0.6, 6)
    return BinnedMap("fake_factor", axes, values, np.diag(0.1 * values) ** 2, {"tilt": (1.2 * values, 0.8 * values)})


def results():
    """Two methods; one closes, the other is rejected."""
    found, other = estimate(variations=2), estimate(seed=4, scale=1.02, variations=0, replicas=12)
    seen = np.stack(found.channel("VR").fill(rows(found, "VR")))
    return Results(
        name="toy",
        seed=11,
        estimates={"abcd": found, "a_method_with_quite_a_long_name": other},
        closures={"abcd": {"VR": closed()}, "a_method_with_quite_a_long_name": {"VR": closed(0.4)}},
        observed={"abcd": {"SR": None, "VR": seen}, "a_method_with_quite_a_long_name": {"SR": None, "VR": seen}},
        fits={"abcd": fitted()},
        maps={"abcd": (factor(),)},
        pulls={"abcd": Pulls(("mu",), np.array([[0.5], [0.25], [-1.0]]), np.ones((3, 1)), np.zeros((3, 1)))},
        rankings={"abcd": {next(iter(fitted().impacts)): Impact(0.123, -0.456)}},
        checks=checks(),
        cards={"abcd": card(ABCD)},
        settings={
            "abcd": {
                "kappa": "1.0",
                "target": "x2 > 0.8",
                "variation tilt": "target = other",
                "purpose tilt": "fake composition",
            }
        },
        regions={"SR": "s > 1", "VR": "s < 1"},
        roles={"abcd": {"target": "tight", "source": "loose"}},
        blinding={
            "sealed": [{"sample": "data", "region": "SR", "cut": "s > 1", "revealed": ["m"]}],
            "log": [{"sample": "data", "region": "SR2", "cut": "s > 2", "reason": NASTY}],
        },
        provenance={
            "started": "2031-01-01T10:00:00",
            "versions": {"backdrop": "1.2.3", "numpy": "2.0"},
            "fingerprint": "ab" * 32,
            "inputs": [{"sample": "data", "path": "/home/somebody/data.root", "bytes": 123456789, "sha256": "cd" * 32}],
        },
        title=f"Toy {NASTY}",
        notes=f"Notes of {NASTY}",
        warnings=("reals: one event holds 9 % of the weight",),
        label={"experiment": "CMS", "status": "Open Data", "lumi": 2.9, "com": 7.0},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return report(tmp_path_factory.mktemp("report") / "report.html", results())


@functools.cache
def _read(path):
    return path.read_text()


@pytest.fixture
def text(page):
    """The text between the tags."""
    body = _read(page).split("<body>")[1].split("<script>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body.replace("<wbr>", ""))).split())


class Balance(HTMLParser):
    """Checks that every element is closed and every id is given once."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[name] for name in ("href", "src") if name in given]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(path):
    parser = Balance()
    parser.feed(_read(path))
    assert parser.open == []
    return parser


def test_elements_are_closed_and_links_lead_somewhere(page):
    parser = parsed(page)
    assert len(set(parser.ids)) == len(parser.ids)
    targets = [link[1:] for link in parser.links if link.startswith("#")]
    assert targets and set(targets) <= set(parser.ids)
    assert set(SECTIONS) <= set(parser.ids)


def test_the_page_needs_nothing_from_elsewhere(page):
    outside = [link for link in parsed(page).links if not link.startswith(("#", "data:image/svg+xml;base64,"))]
    assert outside == []
    assert "default-src 'none'" in _read(page)
    style = _read(page).split("<style>")[1].split("</style>")[0]
    assert "@import" not in style and "url(" not in style


def test_names_are_escaped(page):
    assert NASTY not in _read(page)
    assert _read(page).count("<script>") == 1
    assert html.escape(NASTY, quote=False) in _read(page).replace("&#x27;", "'")


def test_verdicts_can_be_seen_and_name_their_threshold(text):
    assert "2 closure tests: 1 REJECTED, 1 passed." in text
    assert f"p = {closed(0.4).p_value:.1e} < 0.01".replace("-", "−") in text
    assert f"p = {closed().p_value:.3f} ≥ 0.05" in text
    assert "rejected if p < 0.01 and questionable if p < 0.05" in text
    assert "closure in VR is rejected" in text and "no non-closure systematic covers it" in text


@pytest.mark.parametrize(
    ("p", "word"),
    [(0.5, "PASSES"), (0.05, "PASSES"), (0.0499, "QUESTIONABLE"), (0.01, "QUESTIONABLE"), (0.0099, "REJECTED")],
)
def test_the_word_of_a_p_value(p, word):
    class At:
        p_value = p

    assert Verdict.of(At()).word == word
    assert word in Verdict.of(At()).badge


def test_sealed_channels_are_marked_and_nothing_observed_is_shown(page, text):
    assert "SEALED SR: no observed yield was read, none is shown." in text
    row = next(row for row in re.findall(r"<tr>.*?</tr>", _read(page)) if '<th scope="row">SR</th>' in row)
    assert "sealed" in row
    assert "ASIMOV" in text and "no data in SR" in text


def test_methods_regions_blinding_and_warnings_are_told(text):
    for expected in (
        "Assumes", "Fails when", "kappa", "s > 1", "source", "the sealed yield can be inferred",
        "Unblinding log", "SR2", "reals: one event holds 9 % of the weight", "12 replicas in block 'data'",
    ):  # fmt: skip
        assert expected in text, expected


def test_of_a_method_that_came_before_only_what_differs_is_listed():
    settings = {"near": {"target": "x > 1", "kappa": "1.5", "blind": "SR"}, "far": {"target": "x > 2", "kappa": "1.5"}}
    both = Results("toy", 1, cards=dict.fromkeys(settings, card(ABCD)), settings=settings)
    first, second = methods(both).split("<h3>far</h3>")
    assert "Fails when" in first and all(one in first for one in ("x &gt; 1", "kappa", "1.5", "blind"))
    assert "The method of near, with other settings" in second and "Fails when" not in second
    assert "Settings of far that are not those of near" in second
    assert re.findall(r"<code>(.*?)</code>", second) == ["target", "x &gt; 2", "blind", "–"]


def test_the_ranking_is_told(text):
    parameter = next(iter(fitted().impacts))
    assert re.search(rf"Ranking of the parameters .*? {re.escape(parameter)} [^a-z]*0.12 −0.46", text)


def test_the_checks_are_told(page, text):
    assert "Region map." in text and "training of abcd, a_method_with_quite_a_long_name" in text
    flow = next(part for part in _read(page).split("<figure") if "Cut flow of VR" in part)
    cells = [re.sub(r"<[^>]+>", "", row) for row in re.findall(r"<tr>.*?</tr>", flow)]
    assert cells[1].startswith("all rowssealed–") and cells[3].startswith("s &lt; 1") and "sealed" not in cells[3]
    assert "Cut flow of SR" in text and "without m > 110" in text
    assert "Correlations of the variables in VR" in text and "25 %" in text


def test_maps_are_drawn_and_written(page, text, tmp_path):
    assert "Fake factor of abcd" in text and "fake composition" in text and "target = other" in text
    results().save(tmp_path)
    (again,) = Results.load(tmp_path).maps["abcd"]
    assert again.state()["axes"] == factor().state()["axes"]
    np.testing.assert_array_equal(again.variations["tilt"][0], factor().variations["tilt"][0])
    (written,) = read_maps(tmp_path / "maps" / "abcd.json").values()
    np.testing.assert_allclose(written.varied("tilt", "up").values, 1.2 * factor().values)


def test_methods_of_different_processes_are_not_compared(tmp_path):
    one = results()
    named = {name: {"process": name} for name in one.estimates}
    apart = report(tmp_path / "apart.html", replace(one, settings=named))
    assert 'id="comparison"' not in apart.read_text()
    together = {name: {"process": "fakes, of any kind"} for name in one.estimates}
    page = report(tmp_path / "together.html", replace(one, settings=together), figures=tmp_path)
    assert "Methods compared in VR: fakes, of any kind" in page.read_text()
    assert (tmp_path / "compare-VR-fakes_of_any_kind.png").exists()


def test_provenance_has_names_and_no_times_sizes_or_folders(page, text):
    assert "data.root" in text and "numpy 2.0" in text and "ab" * 32 in text
    for private in ("/home/somebody", "2031-01", "123456789", "cd" * 32):
        assert private not in _read(page)


def test_every_figure_says_what_to_look_for(page):
    figures = re.findall(r'<figure class="plot.*?</figure>', _read(page), re.S)
    assert len(figures) >= 12
    for figure in figures:
        assert re.search(r"<figcaption><strong>[^<]+\. </strong>[^<]{30,}</figcaption>", figure)
        assert re.search(r'alt="[^"]{30,}"', figure)


def test_the_same_parts_give_the_same_bytes(tmp_path):
    found = estimate(names=("VR",), replicas=0, variations=1)
    parts = (found, closed())
    paths = [report(tmp_path / name / "r.html", *parts, figures=tmp_path / name / "figures") for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    names = sorted(path.name for path in (tmp_path / "a" / "figures").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b" / "figures").iterdir())
    assert {"closure-VR-background.png", "closure-VR-background.pdf", "closure-VR-background.json"} <= set(names)
    for name in names:
        assert (tmp_path / "a" / "figures" / name).read_bytes() == (tmp_path / "b" / "figures" / name).read_bytes()
    drawn = json.loads((tmp_path / "a" / "figures" / "closure-VR-background.json").read_text())
    assert drawn["p_value"] == closed().p_value


def test_a_saved_run_gives_the_same_report(tmp_path):
    small = {"abcd": estimate(names=("VR",), replicas=0, variations=0)}
    found = replace(results(), estimates=small, closures={"abcd": {"VR": closed()}}, fits={}, observed={})
    found.save(tmp_path)
    first = report(tmp_path / "first.html", found).read_bytes()
    assert report(tmp_path / "again.html", Results.load(tmp_path)).read_bytes() == first


def test_loose_parts_go_to_the_estimate_before_them():
    from backdrop.report.gather import gathered

    first, second = estimate(), estimate(seed=2)
    found = gathered((first, closed(), second, fitted()), "title")
    assert list(found.estimates) == ["background 1", "background 2"]
    assert found.closures == {"background 1": {"VR": closed()}}
    assert list(found.fits) == ["background 2"]
    named = gathered(({"abcd": first, "other": second}, closed()), "")
    assert list(named.estimates) == ["abcd", "other"] and list(named.closures) == ["other"]
    assert gathered((closed(), first), "").closures == {"background": {"VR": closed()}}
    assert gathered((first,), "").seed == 1 and gathered((first, second), "").seed is None


def test_parts_without_a_place_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no place for a str"):
        report(tmp_path / "r.html", "text")
    with pytest.raises(ConfigError, match="takes one Results or loose parts"):
        report(tmp_path / "r.html", results(), estimate())
    assert not (tmp_path / "r.html").exists()


def test_an_empty_report_is_a_page(tmp_path):
    path = report(tmp_path / "r.html", Results("nothing", 1), title="Nothing")
    assert "No closure test" in path.read_text()
    parsed(path)


def test_numbers_are_written_with_the_digits_of_their_errors():
    assert measured(1234.567, 98.7) == "1235 ± 99"
    assert measured(-0.5, 0.123) == "−0.50 ± 0.12"
    assert rounded(1234567.8, 1000.0).shown == "1\u202f234\u202f568"
    assert rounded(3.14159, 0.996).shown == "3.1"
    assert rounded(1.0, 0.0).shown == "1.00"
    assert rounded(float("nan"), 1.0).shown == "–"


def test_markup_escapes_what_is_not_markup():
    assert element("td", "<", at={"title": '"', "hidden": False}) == '<td title="&quot;">&lt;</td>'
    copied = table("T", ["a"], [[Cell("1.2", 1.23456789)], ["a_b"]])
    assert 'data-csv="1.23456789"' in copied and "a_<wbr>b" in copied
    assert "<li>one <code>x</code></li>" in prose("Text\n\n- one ``x``\n- two\n  lines")
    assert "<pre" in prose(".. math:: a < b") and "a &lt; b" in prose(".. math:: a < b")
    assert unformatted(r"$m_{\mathrm{jj}}$ [GeV]") == "m_jj [GeV]"


def test_a_label_given_goes_above_that_of_the_results(tmp_path):
    found = replace(
        results(), estimates={"abcd": estimate(names=("SR",), replicas=0, variations=0)}, closures={}, fits={}
    )
    one = report(tmp_path / "a.html", found).read_bytes()
    assert report(tmp_path / "b.html", found, label=Label("CMS", "Open Data", 2.9, 7.0)).read_bytes() == one
    assert report(tmp_path / "c.html", found, label="ATLAS").read_bytes() != one


# ---- in a browser ----------------------------------------------------------------------------------------------------

PROBE = """
<script>
addEventListener("error", (event) => { document.documentElement.dataset.failed = event.message; });
Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.copied = text; } } });
addEventListener("load", async () => {
  const root = document.documentElement;
  for (const one of document.querySelectorAll("details")) one.open = true;
  const press = async (button) => { button.click(); await Promise.resolve(); return window.copied; };
  const first = document.querySelector("figure.table .copies");
  const latex = await press(first.querySelector("[data-kind=LaTeX]"));
  const numbers = await press(document.querySelector("#figure-closure-VR-abcd [data-kind=CSV]"));
  await press(first.querySelector("[data-kind=CSV]"));
  const scrolls = (one) => one.closest(".scroll") !== null;
  const beyond = [...document.body.querySelectorAll("*")]
    .filter((one) => !scrolls(one) && one.getBoundingClientRect().right > root.clientWidth + 1);
  const cut = [...document.querySelectorAll("h1, h2, h3, p, li, figcaption, .card, .box, .verdict, nav a, td, th")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline");
  const seen = {
    ready: root.dataset.ready ?? null, failed: root.dataset.failed ?? null,
    width: root.clientWidth, whole: root.scrollWidth,
    beyond: beyond.map((one) => one.outerHTML.slice(0, 120)), cut: cut.map((one) => one.outerHTML.slice(0, 120)),
    sections: [...document.querySelectorAll("main > section")].map((one) => one.id),
    images: [...document.images].map((one) => one.naturalWidth),
    hidden: [...document.querySelectorAll("button.copy")].filter((one) => one.hidden).length,
    broken: window.broken ?? null, copied: window.copied ?? null,
    latex, numbers,
  };
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
  document.body.append(probe);
});
</script>
"""

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip


def chromium():
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    return found or pytest.skip("no Chromium here: the report was not opened in a browser")


def browse(page: Path, width: int, folder: Path):
    """Open a page in a frame of some width (a window has a least one); return what the probe saw, and the console."""
    import base64

    (folder / "probed.html").write_text(_read(page).replace("<head>", f"<head>{PROBE}", 1))
    frame = f'<body style="margin:0"><iframe src="probed.html" style="border:0;width:{width}px;height:900px"></iframe>'
    (folder / "frame.html").write_text(frame)
    command = [
        chromium(), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--allow-file-access-from-files",
        "--virtual-time-budget=8000", "--window-size=1400,1000", "--dump-dom", (folder / "page.html").as_uri(),
    ]  # fmt: skip
    script = (
        "<script>addEventListener('load', () => setTimeout(() => { const f = document.querySelector('iframe');"
        "document.body.append(f.contentDocument.getElementById('probe').cloneNode(true)); }, 500));</script>"
    )
    (folder / "page.html").write_text(frame + script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    found = re.search(r'<pre id="probe">([^<]+)</pre>', done.stdout)
    assert found, f"the probe did not run: {done.stdout[-300:]}\n{done.stderr[-2000:]}"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(base64.b64decode(found.group(1))), console


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_page_whole(page, width, tmp_path):
    seen, console = browse(page, width, tmp_path)
    assert seen["width"] == width
    assert seen["ready"] == "yes" and seen["failed"] is None and console == []
    assert seen["broken"] is None, "a name ran as a script"
    assert seen["sections"] == list(SECTIONS)
    assert seen["whole"] <= width and seen["beyond"] == [] and seen["cut"] == []
    assert all(size > 0 for size in seen["images"]) and seen["hidden"] == 0
    lines = seen["copied"].splitlines()
    assert lines[0] == "Channel,Method,Predicted,± stat.,± syst.,± total,Observed,Obs. / pred."
    assert float(lines[1].split(",")[2]) == estimate(variations=2).total("SR").value
    table = seen["latex"].splitlines()
    assert table[0] == r"\begin{tabular}{llrrrrrr}" and table[-1] == r"\end{tabular}"
    assert table[2].startswith(r"  Channel & Method & Predicted & $\pm$ stat. &") and table[2].endswith(r" \\")
    assert "_" not in re.sub(r"\\_", "", seen["latex"]), "an underscore that LaTeX would stumble over"
    drawn = [line.split(",") for line in seen["numbers"].splitlines()]
    assert drawn[0][:3] == ["low", "high", "predicted"] and len(drawn) == 1 + closed().channel.size
    assert float(drawn[1][2]) == closed().predicted[0]


def test_a_bin_that_a_fit_brings_close_to_zero_is_an_empty_one() -> None:
    """Its relative error says nothing: half a count over 1e-11 events."""
    channel = Channel("SR", Region("SR", "m > 0"), (hist.axis.Regular(2, 0, 2, name="m"),))
    nominal = np.array([3e-11, 10.0])
    counts = {"counts_1": (np.array([0.5, 12.0]), np.array([0.0, 8.0]))}
    found = Estimate((channel,), nominal, np.zeros(2), {}, counts, {}, frozenset(counts))
    page = str(health(Results("a", 1, estimates={"fit": found}), ()))
    assert "20 %" in page and "e+" not in page


@pytest.mark.parametrize(
    ("up", "down", "warned"), [(110.0, 108.0, True), (110.0, 92.0, False), (110.0, None, False), (100.2, 100.1, False)]
)
def test_a_systematic_that_moves_one_way_on_both_sides_is_named(up, down, warned) -> None:
    channel = Channel("SR", Region("SR", "m > 0"))
    found = Estimate((channel,), np.array([100.0]), np.array([16.0]))
    found = found.with_variation("jes", np.array([up]), None if down is None else np.array([down]))
    texts = [text for text in warnings_of(Results("a", 1, estimates={"fakes": found})) if "jes" in text]
    assert len(texts) == warned
    if warned:
        assert "moves SR by +10 and +8 events, both one way; its uncertainty is half the difference, 1:" in texts[0]


def test_a_variable_whose_cuts_are_kept_has_no_dashed_lines_in_its_caption(page):
    found = _read(page).partition('id="variables"')[2]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", found.partition("</section>")[0], re.S)
    assert captions and all(("dashed lines" in one) == (", without " in one) for one in captions if "band" in one)


def test_zeros_have_no_sign():
    assert (measured(-1e-16, 0.55), rounded(-1e-16, 0.55).shown) == ("0.00 ± 0.55", "0.00")
