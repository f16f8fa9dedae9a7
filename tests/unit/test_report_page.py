"""The report page as a whole."""

import base64
import csv
import html.parser
import json
import math
import re
import shutil
import subprocess
import zlib
from urllib.parse import unquote

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from support.results import CLASSES, VARIANTS, build_results, face_sources, invalid_labels, render, write_expressions
from wildaffect.errors import InputError
from wildaffect.report import traces
from wildaffect.report.build import MOST_TRACES
from wildaffect.report.page import json_block
from wildaffect.report.scores import score_lines

NASTY = 'a <b> & "ü" </script><img src=x onerror=alert(1)>'.replace("/", "\\")
SECTIONS = ["what", "summary", "scores", "audit", "media", "learning", "predictions", "models", "provenance"]

UNLABELLED = [name for name in SECTIONS if name not in ("scores", "learning")]


class Page(html.parser.HTMLParser):
    """What a browser would see: tags with attributes, text, script contents, table cells."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.blocks, self.text, self.rows, self._inside, self._cell, self._data = (
            [],
            [],
            [],
            [],
            None,
            None,
            "",
        )
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside, self._data = dict(attributes), ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = dict(attributes) | {"text": ""}
            self.rows[-1].append(self._cell)

    def handle_endtag(self, tag):
        if tag == "script" and self._inside.get("type") == "application/json":
            self.blocks.append(json.loads(self._data, parse_constant=pytest.fail))
        if tag in ("script", "style"):
            self._inside = None
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        if self._inside is not None:
            self._data += data
            return
        self.text.append(data)
        if self._cell is not None:
            self._cell["text"] += data

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    def tagged(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def make(folder, videos=(NASTY, "2-60", "3-60"), demo=False, **options):
    arguments = build_results(folder, list(videos), **options)
    render(folder / "report" / "index.html", arguments, title="Run <1> & more", demo=demo)
    return arguments


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    arguments = make(folder, (NASTY, "2-60", "3-60", "broken"), demo=True, unreadable=("broken",))
    return arguments, Page(folder / "report" / "index.html")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return make(folder, labelled=False), Page(folder / "report" / "index.html")


def test_all_sections_stand_in_order(labelled):
    assert [attributes["id"] for attributes in labelled[1].tagged("section")] == SECTIONS
    assert [attributes["href"] for attributes in labelled[1].tagged("a")][: len(SECTIONS)] == [
        f"#{name}" for name in SECTIONS
    ]


@pytest.mark.parametrize("kind", ["labelled", "unlabelled"])
def test_nothing_is_loaded_from_elsewhere(kind, request):
    page = request.getfixturevalue(kind)[1]
    for tag, attributes in page.tags:
        if tag == "img":
            assert (request.getfixturevalue(kind)[0]["results"] / "report" / unquote(attributes["src"])).is_file()
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            if attributes.get(name):
                within = {"a": ("#", "videos/", "../"), "img": ("videos/",)}
                assert attributes[name].startswith(within[tag]), (tag, attributes[name][:60])
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for a in page.tagged("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    packed = re.findall(r'<script type="text/plain" id="plotly">(.*?)</script>', page.source)
    assert len(packed) == 1 and zlib.decompress(base64.b64decode(packed[0])).decode() == get_plotlyjs()


def test_names_from_the_data_stay_text(labelled):
    arguments, page = labelled
    assert "Run <1> & more" in page.text
    assert NASTY in page.words
    assert not [a for a in page.tagged("img") if "onerror" in a]
    assert not [a for a in page.tagged("b") if a]
    assert len(page.tagged("img")) == len(arguments["sheets"])
    assert "onerror=alert(1)>" not in page.source


def test_json_blocks_parse_and_hold_the_trials(labelled):
    arguments, page = labelled
    trials = [block for block in page.blocks if "times" in block]
    assert len(trials) == 4  # the unreadable video has no predictions, one video has two people
    for block in trials:
        assert set(block["series"]["valence"]) == {f"{system}/{variant}/va" for system, variant in VARIANTS}
        lengths = {
            len(values) for values in [*block["series"]["valence"].values(), *block["labels"].values(), block["times"]]
        }
        assert len(lengths) == 1
    curves = [block for block in page.blocks if "epoch" in block]
    assert len(curves) == len(arguments["runs"])
    for block, run in zip(curves, arguments["runs"], strict=True):
        assert block["best"] == json.loads((run["path"] / "run.json").read_text())["best_epoch"]


def test_training_predictions_are_never_drawn(labelled):
    drawn = [
        v
        for b in labelled[1].blocks
        if "times" in b
        for s in b["series"].values()
        for values in s.values()
        for v in values
    ]
    assert max(drawn) < 2  # the training partitions of the builder predict 9


def test_label_gaps_and_missing_faces_are_marked_in_time(labelled):
    block = next(
        block for block in labelled[1].blocks if "times" in block and len(block["times"]) == 210
    )  # 2-60: 25 frames per second
    invalid, sources = invalid_labels(210).nonzero()[0], face_sources(210, 0)
    assert block["invalid"] == [[invalid[0] / 25, (invalid[-1] + 1) / 25]]
    assert [value is None for value in block["labels"]["valence"]] == invalid_labels(210).tolist()
    missing = (sources == "none").nonzero()[0]
    assert block["faceless"] == [[missing[0] / 25, 210 / 25]]


def test_every_score_of_the_file_is_on_the_page(labelled):
    arguments, page = labelled
    with arguments["scores"].open() as handle:
        rows = list(csv.DictReader(handle))
    shown = {}
    for cells in page.rows:
        if len(cells) > 6 and (cells[0]["text"], cells[1]["text"]) in VARIANTS:
            shown.setdefault((cells[0]["text"], cells[1]["text"]), []).append(cells)
    metrics = len({row["metric"] for row in rows})
    for names, tables in shown.items():
        assert len(tables) == metrics
        found = sorted(float(cell["data-v"]) for cells in tables for cell in [*cells[3:6], *cells[7:9]])
        assert found == sorted(float(row["value"]) for row in rows if (row["system"], row["variant"]) == names)
        for cell in [cell for cells in tables for cell in [*cells[3:6], *cells[7:9]]]:
            assert cell["text"] == f"{float(cell['data-v']):.3f}"
        ranked = [
            float(row["value"])
            for row in rows
            if (row["system"], row["variant"]) == names and row["metric"] == "va_score"
        ][:3]
        mean = sum(ranked) / 3
        deviation = math.sqrt(sum((value - mean) ** 2 for value in ranked) / 2)
        assert tables[0][6]["text"] == f"{mean:.3f} ± {deviation:.3f}"
    assert set(shown) == set(VARIANTS)


def test_the_page_says_what_the_scores_are(labelled):
    words = labelled[1].words
    assert "0.5 ccc_valence + 0.5 ccc_arousal" in words
    assert "not comparable with values over all frames joined" in words
    assert "not a benchmark" in words


def test_every_finding_is_listed(labelled):
    arguments, page = labelled
    with arguments["audit"].open() as handle:
        rows = list(csv.DictReader(handle))
    shown = [
        [cell["text"] for cell in cells]
        for cells in page.rows
        if cells and cells[0]["text"] in ("error", "warning", "info")
    ]
    expected = [
        [row["severity"], row["finding"], row["trial"] or "–", row["video"] or "–", row["detail"], row["rule"]]
        for row in rows
    ]
    assert sorted(shown) == sorted(expected)
    assert [row[0] for row in shown] == sorted((row[0] for row in shown), key=("error", "warning", "info").index)


def test_media_table(labelled):
    rows = {cells[0]["text"]: [cell["text"] for cell in cells] for cells in labelled[1].rows if len(cells) == 11}
    detected = (face_sources(210, 0) == "detected").mean()
    assert rows["2-60"][:3] == ["2-60", "validation (va)", f"{100 * detected:.1f} %"]
    assert rows["2-60"][4:] == ["210", "8.4 s", "25.000", "constant", "0°", "640 × 360", "8.0 kHz"]
    nasty = next(cells for name, cells in rows.items() if name.startswith("a <b>"))
    assert "variable" in nasty
    assert "90°" in nasty
    assert "no audio" in nasty[-1]
    broken = next(cells for name, cells in rows.items() if name.startswith("broken"))
    assert "unreadable" in broken
    assert "no decodable video stream" in broken[0]


def test_worst_trials_come_first(labelled):
    names = labelled[1].source.partition('id="trial-list"')[2]
    assert re.findall(r'<span class="name">(.*?)</span>', names)[:3] == ["3-60_right", "3-60", "2-60"]


def test_page_without_labels_and_scores(unlabelled):
    page = unlabelled[1]
    assert "No labels: nothing to compare, so there are no scores." in page.words
    assert "Nothing was trained in this run." in page.words
    assert [attributes["id"] for attributes in page.tagged("section")] == UNLABELLED
    assert "against labels" not in page.words
    assert {f"#{name}" for name in ("scores", "learning")}.isdisjoint(a["href"] for a in page.tagged("a"))
    trials = [block for block in page.blocks if "times" in block]
    assert len(trials) == 4
    assert all(block["labels"] == {} and block["invalid"] == [] and block["series"]["arousal"] for block in trials)
    assert "not a benchmark" not in page.words


def test_page_with_nothing_but_trials(tmp_path):
    arguments = build_results(tmp_path, ["one"], labelled=False)
    empty = {
        "frames": {},
        "audio": {},
        "persons": {},
        "sheets": {},
        "predictions": [],
        "models": [],
        "versions": {},
        "notes": [],
        "config": {},
    }
    render(tmp_path / "r.html", arguments | empty)
    page = Page(tmp_path / "r.html")
    assert [attributes["id"] for attributes in page.tagged("section")] == UNLABELLED
    assert "There are no predictions." in page.words
    assert "No contact sheets" in page.words


def test_intervals_stand_with_their_scores(tmp_path):
    arguments = build_results(tmp_path, ["one", "two"])
    scores = pd.read_csv(arguments["scores"])
    bounds = scores[(scores["metric"] == "va_score_low") & (scores["fold"].isin(["0", "1"]))]
    ends = {"0": (0.25, 0.75), "1": (0.5, 0.5)}  # an interval from one video has no width
    rows = [
        bounds.assign(metric=f"va_score_{end}", value=[ends[fold][k] for fold in bounds["fold"]])
        for k, end in enumerate(("low", "high"))
    ]
    pd.concat([scores[scores["metric"] != "va_score_low"], *rows]).to_csv(tmp_path / "s.csv", index=False)
    render(tmp_path / "r.html", arguments | {"scores": tmp_path / "s.csv"})
    page = Page(tmp_path / "r.html")
    shown = [cells for cells in page.rows if (cells[0]["text"], cells[1]["text"]) in VARIANTS][:2]
    for cells in shown:
        assert cells[3]["text"] == f"{float(cells[3]['data-v']):.3f}0.250 to 0.750"
        assert cells[4]["text"] == f"{float(cells[4]['data-v']):.3f}"
    assert "va_score_low" not in page.words and "va_score_high" not in page.words
    assert score_lines(tmp_path / "s.csv").count("(0.250 to 0.750)") == 2


def test_subjects_and_conditions_have_tables(tmp_path):
    arguments = build_results(tmp_path, ["one", "two", "three"])
    rows = [
        {"system": "s", "variant": "v", "target": "va", "fold": 0, "partition": "validation", "frames": 9}
        | {"trial": trial, "metric": metric, "value": value}
        for trial, metric, value in (
            ("one", "ccc_valence", 0.25), ("two", "ccc_valence", 0.75), ("three", "ccc_valence", 0.125),
            ("three", "expr_f1", 0.5), ("two", "ccc_arousal", math.nan),
        )
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    groupings = {
        "subject": {"one": "<anna>", "two": "<anna>", "three": "bert"},
        "group": {"one": "all", "two": "all", "three": "all", "elsewhere": "other"},
        "condition": {},
    }
    render(tmp_path / "r.html", arguments | {"trial_scores": tmp_path / "t.csv", "groupings": groupings})
    page = Page(tmp_path / "r.html")
    inside = page.source.partition('id="groups"')[2].partition("</section>")[0]
    assert re.findall("<h3>(.*?)</h3>", inside) == ["By subject"]
    assert "&lt;anna&gt;" in inside and "<anna>" not in inside
    values, scores = ([cell["text"] for cell in cells] for cells in page.rows if cells[0]["text"] == "<anna>")
    # 200 and 210 frames; a tenth of each without a face.
    assert values[:5] == ["<anna>", "2", "410", "19.1 s", "90.0 %"]
    assert scores == ["<anna>", "s/v/va", "2", "0.500", "–", "–"]
    (bert,) = [
        [cell["text"] for cell in cells] for cells in page.rows if cells[0]["text"] == "bert" and len(cells) == 6
    ]
    assert bert == ["bert", "s/v/va", "1", "0.125", "0.500", "–"]
    # One group, or none, is nothing to compare.
    one = {"subject": dict.fromkeys(["one", "two", "three"], "anna")}
    render(tmp_path / "r.html", arguments | {"groupings": one})
    assert 'id="groups"' not in (tmp_path / "r.html").read_text()


def test_page_is_the_same_twice(tmp_path):
    arguments = build_results(tmp_path, ["one", "two"])
    for name in ("a", "b"):
        render(tmp_path / f"{name}.html", arguments)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_json_blocks_cannot_end_their_script():
    value = {"</script><!--": "<b> & \u2028 \u00fc"}
    block = json_block(value)
    assert not set("<>&\u2028") & set(block)
    assert json.loads(block) == value
    with pytest.raises(ValueError, match="JSON"):
        json_block([math.nan])


def test_confusion_of_expressions(tmp_path):
    arguments = build_results(tmp_path, ["one"])
    truth, predicted = [4, 4, 4, 0, None, 6], [4, 4, 0, 0, 0, 6]
    labels, entry = write_expressions(tmp_path, "one", truth, predicted)
    more = {"labels": {"expr": labels}, "predictions": [entry]}
    render(tmp_path / "r.html", arguments | more)
    page = Page(tmp_path / "r.html")
    rows = {cells[0]["text"]: [cell["text"] for cell in cells] for cells in page.rows if len(cells) == 9}
    assert rows["Label"][1:-1] == list(CLASSES)
    assert rows["Happiness"] == ["Happiness", "33", "0", "0", "0", "67", "0", "0", "3"]
    assert rows["Neutral"] == ["Neutral", "100", "0", "0", "0", "0", "0", "0", "1"]
    assert rows["Fear"][1:] == ["–"] * 7 + ["0"]
    assert "No system predicted valence or arousal" in page.words


def test_many_trainings_are_a_table(tmp_path):
    arguments = build_results(tmp_path, ["one"])
    many = [run | {"fold": fold} for fold in range(5) for run in arguments["runs"]]
    render(tmp_path / "r.html", arguments | {"runs": many})
    page = Page(tmp_path / "r.html")
    lines = [attributes["points"] for attributes in page.tagged("polyline")]
    assert len(lines) == len(many) == 30
    assert all(len(line.split()) == 12 for line in lines)
    assert not [block for block in page.blocks if "epoch" in block]


def test_summary_of_each_trial_leads_to_its_page(labelled):
    page = labelled[1]
    inside = page.source.partition('id="summary"')[2].partition("</section>")[0]
    assert inside.count("/index.html") == 4
    assert "90.0 %" in inside  # faces of 2-60: the last tenth has none
    assert page.source.count("../tables/") == 0


def test_size_is_bounded_for_many_trials(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "POINTS_PER_PAGE", 3_000)
    make(tmp_path, [f"video {i}" for i in range(199)], frames=100)
    page = Page(tmp_path / "report" / "index.html")
    trials = [block for block in page.blocks if "times" in block]
    assert len(trials) == MOST_TRACES
    lines = [
        values for block in trials for part in (block["labels"], *block["series"].values()) for values in part.values()
    ]
    assert len(lines) == MOST_TRACES * 6
    assert sum(map(len, lines)) + sum(len(block["times"]) for block in trials) <= 3_000
    assert len(page.tagged("img")) == 100
    # The worst have traces, all others a row that leads to their page.
    drawn = re.findall(r'<span class="name">(.*?)</span>', page.source)
    others = page.source.partition("All other trials")[2].partition("</table>")[0]
    named = re.findall(r'<a href="videos/[^"]*/index.html">(.*?)</a>', others)
    assert len(drawn) == MOST_TRACES and len(named) == 200 - MOST_TRACES and not set(drawn) & set(named)
    library = page.source.index('id="plotly"')
    assert library < 500_000 and len(page.source) < 2_600_000


def test_predictions_of_unknown_trials_are_an_error(tmp_path):
    arguments, other = build_results(tmp_path / "a", ["one"]), build_results(tmp_path / "b", ["else"])
    with pytest.raises(InputError, match="trials that the trial table lacks: else"):
        render(tmp_path / "r.html", arguments | {"predictions": other["predictions"]})
    assert not (tmp_path / "r.html").exists()


def test_score_lines_for_the_terminal(labelled):
    text = score_lines(labelled[0]["scores"])
    lines = text.splitlines()
    assert lines[0].startswith("va_score (abaw2, validation")
    assert "per_video" not in text
    with labelled[0]["scores"].open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["metric"] == "va_score" and row["system"] == "tsav"]
    tsav = next(line for line in lines if line.startswith("tsav"))
    for row in rows:
        assert f"{float(row['value']):.3f}" in tsav.split()
    assert "±" in tsav


def test_a_table_without_a_single_number_is_one_line_after_the_others(labelled, tmp_path):
    rows = list(csv.DictReader(labelled[0]["scores"].open()))
    absent = [row | {"metric": "au_score", "target": "au", "value": ""} for row in rows if row["metric"] == "va_score"]
    with (tmp_path / "scores.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows([*absent, *rows])
    blocks = score_lines(tmp_path / "scores.csv").split("\n\n")
    assert blocks[0].startswith("va_score") and len(blocks[0].splitlines()) > 2
    assert blocks[-1].startswith("au_score (abaw2, ") and blocks[-1].endswith("undefined for all.")


def test_score_lines_without_scores(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("system,variant,target,fold,partition,edition,metric,value,frames,trials\n")
    assert "no labelled frames" in score_lines(path)
    path.write_text("system,value\n")
    with pytest.raises(InputError, match=r"scores\.csv: column variant"):
        score_lines(path)


def browse(page, script, folder):
    """The DOM after the page's scripts and then ``script`` ran, and what they logged to the console."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if not browser:
        pytest.skip("no Chromium browser is installed")
    path = folder / "page.html"
    path.write_text(page.source.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--enable-logging=stderr", "--window-size=1400,6000", "--dump-dom"]
    result = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labelled", "unlabelled"])
def test_a_browser_draws_the_visible_figures_for_printing(kind, request, tmp_path):
    dom, console = browse(request.getfixturevalue(kind)[1], 'dispatchEvent(new Event("beforeprint"))', tmp_path)
    assert not console
    drawn = re.findall(r'data-figure="(\w+)"[^>]*data-drawn="yes"', dom)
    assert drawn.count("trial") == 1  # the open one only
    assert drawn.count("scores") == (kind == "labelled")
    assert drawn.count("curves") == (6 if kind == "labelled" else 0)
    assert dom.count('class="main-svg"') >= len(drawn)


@pytest.mark.slow
def test_sorting_and_filtering(labelled, tmp_path):
    actions = """
      const head = [...document.querySelectorAll("#media-table th")].find((th) => th.textContent === "Frames");
      head.querySelector("button").click(); head.querySelector("button").click();
      const search = document.querySelector("[data-filter=audit-table] input[type=search]");
      search.value = "rows 3-60"; search.dispatchEvent(new Event("input", { bubbles: true }));
      const visible = [...document.querySelectorAll("#audit-table tbody tr")].filter((row) => !row.hidden);
      document.title = JSON.stringify([
        [...document.querySelectorAll("#media-table tbody tr")].map((row) => Number(row.cells[4].dataset.v)),
        visible.map((row) => row.cells[2].textContent), document.querySelector("[data-filter=audit-table] .shown").textContent,
      ]);
    """
    dom, console = browse(labelled[1], actions, tmp_path)
    assert not console
    frames, findings, shown = json.loads(re.search(r"<title>(.*?)</title>", dom)[1])
    assert frames == [220, 220, 210, 200, 0]
    assert findings == ["3-60"]
    assert shown == "1 of 6 findings"


def test_what_must_be_known_first_stands_above_everything(tmp_path):
    arguments = make(tmp_path)
    path = tmp_path / "report" / "index.html"
    assert "Read this before the numbers" not in Page(path).words
    render(path, arguments | {"warnings": ["lfan was trained on the rendered demo corpus.", NASTY]})
    words = Page(path).words
    assert words.index("lfan was trained on the rendered demo corpus.") < words.index("What ran")
    assert NASTY in words


def test_pairs_of_variants_and_repeated_trainings_have_tables(tmp_path):
    arguments = build_results(tmp_path, ["2-60", "3-60"])
    (tmp_path / "pairs.csv").write_text(
        "edition,task,first_run,second_run,trials,metric,first,second,difference,low,high,first_better,frames,videos,note\n"
        "abaw2,va,s/a/va,s/<b>/va,2,va_score,0.5,0.25,0.25,0.125,0.375,1.0,9,2,n\n"
        "abaw2,va,s/a/va,s/<b>/va,2,ccc_valence,0.5,0.25,0.7777,0.125,0.375,1.0,9,2,n\n"
    )
    scores = pd.read_csv(arguments["scores"])
    system, variant = scores[scores["metric"] == "va_score"].iloc[0][["system", "variant"]]
    again = scores[(scores["system"] == system) & (scores["variant"] == variant)].assign(variant="again")
    pd.concat([scores, again]).to_csv(tmp_path / "scores.csv", index=False)
    block = {"variants": {variant: {"base": "x", "seed": None}, "again": {"base": "x", "seed": 3}}}
    config = {**arguments["config"], "systems": {system: block}}
    changed = {"config": config, "scores": tmp_path / "scores.csv", "comparisons": tmp_path / "pairs.csv"}
    render(tmp_path / "page.html", arguments | changed)
    page = Page(tmp_path / "page.html")
    sections = [*SECTIONS[: SECTIONS.index("audit")], "comparisons", *SECTIONS[SECTIONS.index("audit") :]]
    assert [attributes["id"] for attributes in page.tagged("section")] == sections
    assert "#comparisons" in [attributes["href"] for attributes in page.tagged("a")]
    assert "Pairs of variants" in page.words and "s/<b>/va" in page.words and "0.7777" not in page.words
    assert (
        "Trainings that differ in the seed alone" in page.words and f"{system}/{variant}, {system}/again" in page.words
    )
