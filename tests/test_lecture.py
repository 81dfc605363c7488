"""The lecture's page: what is on it, what is made again, what a browser says of it."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import chromium
import pytest
from click.testing import CliRunner

import tinygrad_rnn as tg
from tinygrad_rnn.cli import main
from viz.lecture import TOPICS, Topic, Translation, build, figure
from viz.lecture.programs import Runner
from viz.mathml import mathml

CHEAP = [topic for topic in TOPICS if topic.program in ("recurrence.py", "bptt.py")]


@pytest.fixture(scope="module")
def runners():
    """Two processes that run programs, for all pages of this file."""
    started = Runner(), Runner()
    yield started
    for runner in started:
        runner.close()


class Lent:
    """A `Runner` that stays when the page that has it is done."""

    def __init__(self, runner):
        self.run, self.stop = runner.run, runner.stop

    def close(self):
        pass


@pytest.fixture(scope="module", autouse=True)
def _shared(runners):
    """Builds take the two processes that are there, in turn."""
    free = itertools.cycle(runners)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("viz.lecture.building.Runner", lambda: Lent(next(free)))
        yield


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lecture")
    seen = []
    assert build(folder, CHEAP, seen.append) == [] and sorted(t.title for t in seen) == sorted(t.title for t in CHEAP)
    return folder


def test_every_topic_has_its_program():
    shown = [topic for topic in TOPICS if topic.program]
    assert len({topic.name for topic in TOPICS}) == len(TOPICS) and len(shown) > 15
    examples = Path(__file__).parent.parent / "examples"
    assert all((examples / topic.program).is_file() for topic in shown)
    assert all(bool(topic.captions) == bool(topic.program) for topic in TOPICS)
    assert all(topic.captions or topic.points for topic in TOPICS)
    assert all(topic.walk.partition("#k=")[2].isdigit() for topic in TOPICS if topic.walk)
    assert sum(bool(topic.walk) for topic in TOPICS) >= len(shown) - 2


def test_every_formula_is_typeset():
    for topic in TOPICS:
        for formula in topic.formulas:
            assert not mathml(formula).startswith("<math><mtext>"), formula


def test_a_citation_has_its_reference():
    references = " ".join(next(topic for topic in TOPICS if topic.name == "references").points)
    text = " ".join(paragraph for topic in TOPICS if topic.program for paragraph in topic.text)
    cited = re.findall(r"([A-Z]\w+)[^()]*? (\d{4})\)", text)
    assert len(cited) >= 2 and all(name in references and f"({year})" in references for name, year in cited)


def test_pictures_numbers_and_code_are_on_the_page(page):
    html = (page / "index.html").read_text()
    assert [html.index(f"<h2>{topic.title}</h2>") for topic in CHEAP] == sorted(
        html.index(f"<h2>{topic.title}</h2>") for topic in CHEAP
    )
    drawn = {Path(figure).stem for figure in (page / "figures").glob("*.svg")}
    assert drawn == {name for topic in CHEAP for name in topic.captions}
    for name, caption in ((name, caption) for topic in CHEAP for name, caption in topic.captions.items()):
        assert f'src="figures/{name}.svg"' in html and f"<figcaption>{caption} " in html
        about = next(f"{topic.title}: {caption}" for topic in CHEAP if name in topic.captions)
        assert f'aria-label="{about}"' in (page / "figures" / f"{name}.svg").read_text()
        for suffix, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
            assert (page / "figures" / f"{name}.{suffix}").read_bytes().startswith(start)
    shown = re.findall(r'src="figures/([\w-]+)\.svg"', html)
    assert shown == [name for topic in CHEAP for name in topic.captions]  # in the topic's order
    assert "their sum is exactly ∂L/∂W_hh" in html  # what the program printed
    assert "━" not in html and html.count("<math>") == sum(len(topic.formulas) for topic in CHEAP)
    assert "h<sub>t" not in html and "W<sub>t</sub>" in html and "W_t" not in html
    assert 'href="debugger/bptt.html#k=15"' in html and (page / "debugger" / "bptt.html").is_file()


#: Draws at once: one line of text, as large as a figure of ours.
QUICK = """
import pathlib, sys
out = pathlib.Path(sys.argv[2])
out.mkdir()
for name in {names}:
    (out / f"{{name}}.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="30pt" height="9pt" '
        'viewBox="0 0 30 9"><text x="1" y="8" font-size="8">|∂|</text></svg>')
(out / "{page}.html").write_text("<!doctype html><title>a walk</title>")
print("made by {page}")
"""


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Two topics whose programs take no time, in place of the examples."""
    examples = tmp_path / "examples"
    examples.mkdir()
    monkeypatch.setattr("viz.lecture.building.EXAMPLES", examples)
    topics = []
    for program, names in {"one": ["one", "one-op"], "two": ["two-forward", "two-backward"]}.items():
        (examples / f"{program}.py").write_text(QUICK.format(names=names, page=program))
        captions = {name: f"caption of {name}" for name in names}
        topics.append(Topic("part", program.title(), f"{program}.py", ("text",), captions, walk=f"{program}.html#k=1"))
    return topics


def test_only_what_changed_is_made_again(quick, tmp_path, monkeypatch):
    page = tmp_path / "page"
    assert build(page, quick) == []
    before = {path: path.stat().st_mtime_ns for path in (page / "figures").iterdir()}
    assert len(before) == 12  # four figures, each as SVG, PNG and PDF
    monkeypatch.setenv("PATH", "")
    assert build(page, quick) == []
    assert {path: path.stat().st_mtime_ns for path in (page / "figures").iterdir()} == before
    (page / "figures" / "one.svg").unlink()
    (page / "debugger" / "two.html").unlink()
    state = json.loads((page / "lecture.json").read_text())
    state["two.py"]["printed"] = "of another version"
    (page / "lecture.json").write_text(json.dumps(state))
    assert build(page, quick) == []
    after = {path: path.stat().st_mtime_ns for path in (page / "figures").iterdir()}
    assert after.keys() == before.keys() and all(after[path] > before[path] for path in after)
    html = (page / "index.html").read_text()
    assert "of another version" not in html and "made by two" in html and 'href="debugger/two.html#k=1"' in html
    state["one.py"]["key"] = "of another version"
    (page / "lecture.json").write_text(json.dumps(state))
    assert build(page, quick) == []
    assert all((p.stat().st_mtime_ns > after[p]) == p.stem.startswith("one") for p in after)


@pytest.mark.parametrize(
    "record",
    [
        "[1, 2",
        "[" * 100_000,
        '{"x.py": 1}',
        '{"x.py": {"key": "", "files": [1]}}',
        '{"x.py": {"key": "", "files": ["figures/../../x.svg"]}}',
    ],
)
def test_a_damaged_record_is_made_anew(record, tmp_path):
    (tmp_path / "lecture.json").write_text(record)
    assert build(tmp_path, []) == [] and json.loads((tmp_path / "lecture.json").read_text()) == {}


def test_a_program_that_fails_is_one_line(tmp_path, monkeypatch):
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "broken.py").write_text("raise ValueError('<b>no</b>')")
    monkeypatch.setattr("viz.lecture.building.EXAMPLES", examples)
    (problem,) = build(tmp_path / "out", [Topic("part", "<i>Broken</i>", "broken.py", ("text",))])
    assert problem == "<i>Broken</i>: its program failed: ValueError: <b>no</b>"
    html = (tmp_path / "out" / "index.html").read_text()
    assert "<b>no" not in html and "<i>Broken" not in html and "&lt;b&gt;no" in html


def test_a_program_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    asleep = tmp_path / "asleep"

    class Timer(threading.Thread):
        """Its time is up when the program sleeps."""

        def __init__(self, seconds, end):
            super().__init__()
            self.end, self.cancelled = end, threading.Event()

        def run(self):
            while not self.cancelled.wait(0.01):
                if asleep.exists():
                    asleep.unlink()
                    self.end()

        def cancel(self):
            self.cancelled.set()

    monkeypatch.setattr("viz.lecture.programs.Timer", Timer)
    slow, quick = tmp_path / "slow.py", tmp_path / "quick.py"
    slow.write_text(f"import pathlib, time\npathlib.Path({str(asleep)!r}).touch()\ntime.sleep(600)")
    quick.write_text("print('done')")
    folders = {program: tmp_path / program.stem for program in (slow, quick)}
    for folder in folders.values():
        folder.mkdir()
    runner = Runner()
    found = [runner.run(program, folders[program]) for program in (quick, slow, quick)]
    runner.close()
    assert found == [("done\n", ""), ("", "took longer than 600 s"), ("done\n", "")]


def test_where_nothing_forks_a_process_runs_one_program(tmp_path):
    (tmp_path / "one.py").write_text("import sys\nprint(sys.argv[1:], __name__)\nsys.exit(3)")
    code = "import os\nfrom viz.lecture.programs import serve\ndel os.fork\nserve()"
    asked = json.dumps([str(tmp_path / "one.py"), str(tmp_path)]) + "\n"
    done = subprocess.run([sys.executable, "-c", code], input=2 * asked, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert (tmp_path / "printed").read_text() == "['--out', 'out'] __main__\n"


def test_only_what_reads_images_of_digits_needs_their_package(tmp_path, monkeypatch):
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "images.py").write_text("from digits import load")
    (examples / "sums.py").write_text("digits = 2")
    monkeypatch.setattr("viz.lecture.building.EXAMPLES", examples)
    monkeypatch.setattr("viz.lecture.building.find_spec", lambda name: None)
    (problem,) = build(tmp_path / "out", [Topic("", name, f"{name}.py", ()) for name in ("images", "sums")])
    assert problem.startswith("images: needs scikit-learn")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a group of processes on POSIX only")
def test_what_was_interrupted_is_not_kept(tmp_path):
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "quick.py").write_text("print('done')")
    (examples / "slow.py").write_text(
        "import os, pathlib, sys, time\n"
        "pathlib.Path(os.environ['STARTED']).touch()\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('half trained')\n"
    )
    code = (
        "import sys, pathlib, viz.lecture.building as m\n"
        "m.EXAMPLES = pathlib.Path(sys.argv[1])\n"
        "m.build(sys.argv[2], [m.Topic('', n, n + '.py', ()) for n in ('quick', 'slow')])"
    )
    started, out = tmp_path / "started", tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(examples), str(out)],
        env={**os.environ, "STARTED": str(started)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not started.exists() or '"quick.py"' not in (out / "lecture.json").read_text():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert list(json.loads((out / "lecture.json").read_text())) == ["quick.py"]


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("viz.lecture.building.EXAMPLES", tmp_path)  # no program to run: that is a note, not an end
    result = CliRunner().invoke(main, ["lecture", "--only", "recurrence", "-o", str(tmp_path)])
    assert result.exit_code == 0 and "index.html" in result.output and "note: One function" in result.stderr
    result = CliRunner().invoke(main, ["lecture", "--only", "nothing"])
    assert result.exit_code == 2 and "there are the topics one_to_one" in result.output + result.stderr
    (tmp_path / "file").write_text("")
    with pytest.raises(tg.TinygradError, match="cannot write"):
        build(tmp_path / "file" / "out", CHEAP[:1])


def test_a_table_of_translations_is_started(tmp_path):
    table = tmp_path / "de.toml"
    started = ["lecture", "--only", "summary", "-o", str(tmp_path / "out"), "--labels", str(table)]
    result = CliRunner().invoke(main, started)
    assert result.exit_code == 0 and f"they are in {table}" in result.stderr
    table.write_text(table.read_text().replace('"Summary" = "Summary"', '"Summary" = "Zusammenfassung"'))
    result = CliRunner().invoke(main, started)
    assert result.exit_code == 0 and "not translated" not in result.stderr
    assert "<h2>Zusammenfassung</h2>" in (tmp_path / "out" / "index.html").read_text()


def test_another_language(page, tmp_path, monkeypatch):
    for name in ("svg_to_png", "svg_to_pdf"):  # which the first page has made of the same figures
        monkeypatch.setattr(f"viz.lecture.building.{name}", lambda svg, *zoom: b"")
    table = tmp_path / "de.toml"
    table.write_text(
        '"Backpropagation through time" = "Rückwärts <durch> die Zeit"\n"|∂|: norm of ∂L/∂(this value)" = "Länge"\n'
    )
    shutil.copytree(page, tmp_path / "out")
    labels = Translation.read(table)
    assert build(tmp_path / "out", CHEAP[-1:], labels=labels) == []
    assert "<h2>Rückwärts &lt;durch&gt; die Zeit</h2>" in (tmp_path / "out" / "index.html").read_text()
    backward = (tmp_path / "out" / "figures" / "bptt-backward.svg").read_text()
    assert ">Länge</text>" in backward and "norm of" not in backward and "Rückwärts &lt;durch&gt;" in backward
    assert not any(sign in labels.missing for sign in ("h₁", "xₜ", "h₀ = 0"))  # there is nothing to translate
    assert "Show as slides" in labels.missing and "Backpropagation through time" not in labels.missing
    labels.save(tmp_path / "labels.toml")
    again = Translation.read(tmp_path / "labels.toml").table
    assert again["Show as slides"] == "Show as slides" and again["Backpropagation through time"].startswith("Rückwärts")


def test_words_in_formulas_and_the_pages_language_are_translated(tmp_path):
    topic = replace(next(topic for topic in TOPICS if topic.name == "clipping"), program="")
    labels = Translation({"if": "falls {", "en": "de"})
    assert build(tmp_path, [topic], labels=labels) == []
    html = (tmp_path / "index.html").read_text()
    assert '<html lang="de">' in html and "<mtext>falls {</mtext>" in html and "if" not in labels.missing


def test_other_words_need_no_program(quick, tmp_path, monkeypatch):
    """The figures are kept in English, too."""
    assert build(tmp_path, quick) == []
    monkeypatch.setattr("viz.lecture.building._run", lambda *_: pytest.fail("a program runs"))
    labels = Translation({"loss": "Verlust", "One": "Eins"})
    assert build(tmp_path, quick, labels=labels) == []
    assert 'aria-label="Eins: ' in next((tmp_path / "figures").glob("one*.svg")).read_text()
    assert build(tmp_path, quick) == []
    assert 'aria-label="One: ' in next((tmp_path / "figures").glob("one*.svg")).read_text()


def test_a_longer_label_is_set_smaller():
    svg = '<text font-size="10.00">loss</text><text style="font: 12px x">T1</text>'
    drawn = Translation({"loss": "der Verlust"}).drawn(svg)
    assert drawn == '<text font-size="6.00">der Verlust</text><text style="font: 12px x">T1</text>'


def test_one_line_of_the_table_is_for_all_numbers_and_parts():
    words = Translation({"norm clipped at #": "Norm bis #", "encoder": "Kodierer", "t = 3": "Schritt drei"})
    assert (
        words.label("norm clipped at 0.1") == "Norm bis 0.1" and words.label("norm clipped at 1e−4") == "Norm bis 1e−4"
    )
    assert words.label("encoder  t = 3,  encoder") == "Kodierer  Schritt drei,  Kodierer"
    assert words.label("W_xh weight_ih  ∂ 0.02 (10%)") == "W_xh weight_ih  ∂ 0.02 (10%)" and not words.missing
    assert words.label("3 of 10 seeds") == "3 of 10 seeds" and list(words.missing) == ["# of # seeds"]


@pytest.mark.parametrize(
    ("text", "said"), [("a = [", "is not TOML"), ("[a]\nb = 1", "'a' is not a text"), (None, "cannot read")]
)
def test_a_table_that_is_none_is_one_line(text, said, tmp_path):
    if text is not None:
        (tmp_path / "x.toml").write_text(text)
    with pytest.raises(tg.TinygradError, match=said):
        Translation.read(tmp_path / "x.toml")


def test_a_figure_alone(quick, tmp_path, monkeypatch):
    monkeypatch.setattr("viz.lecture.building.TOPICS", quick)
    written = figure(tmp_path / "out", "two-forward")
    assert {path.name for path in written} == {f"two-forward.{kind}" for kind in ("svg", "png", "pdf")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in written}
    assert all(path.stat().st_size > 100 for path in written)


@pytest.mark.parametrize(
    "formula", [r"\text{<img src=x>}", r"\operatorname{a<b}", "<img src=x>", r"\href{u}{x}", "{", r"x_", "\0"]
)
def test_no_formula_is_markup(formula):
    made = mathml(formula)
    assert made.startswith("<math>") and made.endswith("</math>") and "<img" not in made and "href=" not in made


def test_bars_of_a_norm_are_as_high_as_what_is_between_them():
    formula = mathml(r"\left\lVert \frac{a}{b} \right\rVert \le \lVert W \rVert")
    assert formula.count('<mo stretchy="true"') == formula.count('<mo stretchy="false">‖') == 2


def test_in_a_browser(page):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[browser]')")
    if chromium.PATH is None:
        pytest.skip(chromium.ABSENT)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.PATH, args=chromium.ARGUMENTS)
        for scheme, width in (("light", 1400), ("dark", 390)):
            tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            said, asked = [], []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto((page / "index.html").as_uri())
            tab.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
            tab.wait_for_function("[...document.images].every(i => i.complete)")
            assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing wider than the screen
            assert said == [] and all(url.startswith("file://") for url in asked)
            if width > 1000:
                assert tab.evaluate(
                    "[...document.querySelectorAll('.frame')].every(f => f.scrollWidth <= f.clientWidth)"
                )
            tab.keyboard.press("s")
            seen = []
            for _ in range(4):
                seen.append(tab.evaluate("[...document.querySelectorAll('figure')].filter(f => f.offsetParent).length"))
                assert tab.locator("section:visible").count() == 1
                tab.keyboard.press("ArrowRight")
            assert seen == [1, 1, 1, 1] and tab.url.endswith("#slide-4")  # four figures; the last stays
            tab.keyboard.press("ArrowLeft")
            assert tab.locator("#counter").inner_text() == "3 / 4"
            told, beside = tab.locator("section.now .told"), tab.locator("figure.now img").bounding_box()
            tab.keyboard.press("f")  # the picture alone, as large as the screen
            assert not told.is_visible() and tab.locator("figure.now img").bounding_box()["width"] > beside["width"]
            tab.keyboard.press("f")
            assert told.is_visible()
            tab.keyboard.press("Escape")
            assert tab.locator("section:visible").count() == 2 and tab.url.endswith("#bptt")
            tab.locator("nav a").first.click()
            assert tab.url.endswith("#recurrence")
            tab.locator("summary").first.click()
            assert tab.locator("pre.code").first.is_visible()
            tab.locator("figure img").first.click()  # alone it answers the mouse, as an image it cannot
            assert tab.url.endswith("figures/recurrence.svg") and tab.locator("a[*|title]").count() > 9
            tab.close()
        # from so far above that no picture is loaded yet: those on the way must not push the topic out of sight
        (page / "far.html").write_text(
            (page / "index.html").read_text().replace("<main>", "<main><p style='height: 9000px'>")
        )
        tab = browser.new_page()
        tab.goto((page / "far.html").as_uri())
        tab.locator("nav a").last.click()
        tab.wait_for_function(
            "() => Math.abs(document.getElementById('bptt').getBoundingClientRect().top) < 20", timeout=9000
        )
        browser.close()


def test_no_formula_on_a_slide_has_a_scrollbar(page):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[browser]')")
    if chromium.PATH is None:
        pytest.skip(chromium.ABSENT)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.PATH, args=chromium.ARGUMENTS, ignore_default_args=["--hide-scrollbars"]
        )
        for width, height in ((1280, 720), (1920, 1080)):
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto((page / "index.html").as_uri())
            tab.keyboard.press("s")
            for formula in (formula for topic in TOPICS for formula in topic.formulas):
                is_cut = tab.evaluate(
                    """made => {
                        const shown = document.querySelector(".now .formula");
                        shown.innerHTML = made;
                        return shown.offsetWidth > shown.clientWidth || shown.scrollHeight > shown.clientHeight;
                    }""",
                    mathml(formula),
                )
                assert not is_cut, formula
        browser.close()
