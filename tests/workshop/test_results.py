"""Trials, the results page and the cards: rows are kept whole, and figures say what they should."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.frameworks import PACKAGES, find_version
from tests.support.ports import FRAMEWORKS, chosen_ports
from tools import compare
from tools.library import cards
from tools.library import ledger as ledger_file
from tools.library.entries import read_recipes, to_flags
from tools.library.ledger import Ledger, Trial
from tools.library.scripts import MODELS, ROOT
from workshop import normal, results, trials

FRAMEWORK = next(framework for framework in FRAMEWORKS if framework in chosen_ports())
each_model = pytest.mark.parametrize("model", MODELS)


def found(loss: float, steps: int = 20, figure: float = 1.0) -> dict[str, list[dict]]:
    """The rows of a made-up trial whose loss is the same at all steps."""
    return {
        "runs": [{"version": "1", "python": "3", "processor": "abacus", "seconds": "60"}],
        "figures": [{"figure": "Fréchet distance", "value": str(figure), "floor": "0.5"}],
        "curves": [{"step": str(step), "loss": str(loss)} for step in range(1, steps + 1)],
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of results, in the place of the committed one."""
    monkeypatch.setattr(ledger_file, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(ledger_file, "RUNS", tmp_path / "runs")
    return tmp_path / "results"


def fill(model: str, settings: dict[str, Any], spread: float = 1.0) -> Ledger:
    """Four frameworks with five seeds each; their losses lie evenly between 0 and `spread`."""
    ledger = ledger_file.ledger(model)
    for place, framework in enumerate(PACKAGES):
        for seed in range(1, 6):
            level = spread * (4 * seed - place) / 20
            ledger.put(Trial(model, framework, seed), settings, found(level, figure=level))
    return ledger


# Trials.


def test_a_trial_is_trained_evaluated_and_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"dataset": "digits", "image_size": 8, "batch_size": 4, "steps": 3}
    monkeypatch.setattr(trials, "read_recipes", lambda: {"ae": recipe})
    monkeypatch.setattr("sys.argv", ["trials", "--frameworks", FRAMEWORK, "--seeds", "1"])
    trials.main()
    ledger = ledger_file.ledger("ae")
    assert recipe.items() <= ledger.settings().items()
    assert ledger.settings()["latent_dim"] == 64  # a default
    (run,) = ledger.read("runs")
    assert (run["framework"], run["seed"]) == (FRAMEWORK, "1")
    assert run["version"] == find_version(FRAMEWORK)
    assert 0 < float(run["seconds"]) < 600
    left = Trial("ae", FRAMEWORK, 1).folder
    with open(left.metrics, newline="") as file:
        losses = [float(row["reconstruction_loss"]) for row in csv.DictReader(file)]
    kept = ledger.read("curves")
    assert [row["step"] for row in kept] == ["1", "2", "3"]
    assert np.allclose([float(row["reconstruction_loss"]) for row in kept], losses, rtol=1e-3)
    evaluation = (left.path / "evaluation" / "evaluation.json").read_text(encoding="utf-8")
    figures = json.loads(evaluation)["figures"]
    kept = ledger.read("figures")
    assert {row["figure"] for row in kept} == set(figures)
    for row in kept:
        mean = np.mean(figures[row["figure"]]["values"])
        assert float(row["value"]) == pytest.approx(mean, rel=1e-3)
    # A second time there is nothing to do.
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    trials.main()
    assert files == {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}


def test_a_trial_that_fails_is_named_and_leaves_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fill("ae", {"steps": 3}).read("runs")
    monkeypatch.setattr(trials, "read_recipes", lambda: {"ae": {"dataset": "nothing", "steps": 3}})
    monkeypatch.setattr("sys.argv", ["trials", "ae", "--frameworks", FRAMEWORK, "--seeds", "1"])
    with pytest.raises(UserError, match="unknown data set 'nothing'"):
        trials.main()
    assert ledger_file.ledger("ae").read("runs") == before


def test_rows_of_a_trial_replace_its_older_ones_alone(folder: Path) -> None:
    ledger = fill("ae", {"steps": 3})
    ledger.put(Trial("ae", "keras", 2), {"steps": 3}, found(7.0))
    rows = ledger.read("runs")
    assert [(row["framework"], row["seed"]) for row in rows] == [
        (framework, str(seed)) for framework in PACKAGES for seed in range(1, 6)
    ]
    changed = [row for row in ledger.read("curves") if row["loss"] == "7.0"]
    assert {(row["framework"], row["seed"]) for row in changed} == {("keras", "2")}
    assert len(ledger.read("curves")) == 20 * 20


def test_trials_of_other_settings_do_not_stand_beside_each_other(folder: Path) -> None:
    ledger = fill("ae", {"steps": 3})
    ledger.put(Trial("ae", "keras", 1), {"steps": 4}, found(7.0))
    assert [row["framework"] for row in ledger.read("runs")] == ["keras"]
    assert len(ledger.read("curves")) == 20
    assert ledger.settings() == {"steps": 4}


def test_a_trial_is_there_only_by_its_recipe_and_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "find_version", lambda _: "1")
    ledger = fill("ae", {"steps": 3, "batch_size": 64})
    assert ledger.has(Trial("ae", "keras", 5), {"steps": 3})
    assert not ledger.has(Trial("ae", "keras", 6), {"steps": 3})
    assert not ledger.has(Trial("ae", "keras", 5), {"steps": 4})
    monkeypatch.setattr(ledger_file, "find_version", lambda _: "2")
    assert not ledger.has(Trial("ae", "keras", 5), {"steps": 3})


def test_a_trial_that_is_at_work_is_left_alone(folder: Path) -> None:
    trial = Trial("ae", "keras", 1)
    trial.folder.path.mkdir(parents=True)
    other = trial.folder
    other.lock()
    with pytest.raises(UserError, match="another run is using it"):
        trials.run(trial, {"steps": 3})
    assert trial.folder.path.is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dcgam"], "unknown model 'dcgam'"),
        (["ae", "--seeds", "0"], "--seeds 0: must be at least 1"),
        (["ae", "--frameworks", "caffe"], "unknown framework 'caffe'"),
    ],
)
def test_bad_input_of_trials(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trials.parse(arguments)


# What is committed.


@each_model
def test_every_model_has_a_recipe(model: str) -> None:
    assert read_recipes()[model]["steps"] > 0


@each_model
def test_trials_are_by_the_recipe_and_whole(model: str) -> None:
    ledger = ledger_file.ledger(model)
    assert read_recipes()[model].items() <= ledger.settings().items()
    seeds: dict[str, set[str]] = {}
    for row in ledger.read("runs"):
        seeds.setdefault(row["framework"], set()).add(row["seed"])
    # PyTorch's come first; the page says "not yet" of a framework that has none.
    assert "pytorch" in seeds
    assert set(seeds) <= set(PACKAGES)
    assert min(map(len, seeds.values())) >= 2
    for table in ("figures", "curves"):
        assert {(row["framework"], row["seed"]) for row in ledger.read(table)} == {
            (framework, seed) for framework, known in seeds.items() for seed in known
        }
    steps: dict[tuple[str, str], list[str]] = {}
    for row in ledger.read("curves"):
        steps.setdefault((row["framework"], row["seed"]), []).append(row["step"])
    assert len({tuple(each) for each in steps.values()}) == 1, "some were not logged to the end"
    assert (ledger.folder / "card.png").exists()


@each_model
def test_the_page_of_a_model_gives_its_recipe(model: str) -> None:
    page = (ROOT / "docs" / "models" / f"{model}.md").read_text(encoding="utf-8")
    words = " ".join(page.split())
    assert f"{model}.py {' '.join(to_flags(read_recipes()[model]))}" in words


@each_model
def test_pages_say_which_losses_are_normal(model: str) -> None:
    for language, page in normal.pages(model).items():
        text = page.read_text(encoding="utf-8")
        assert normal.with_table(text, model, language) == text, "run python -m workshop.results"


def test_normal_is_what_nine_in_ten_values_are(folder: Path) -> None:
    ledger = ledger_file.ledger("dcgan")
    curves = [{"step": str(n), "loss": str(n), "diversity": ""} for n in range(1, 1001)]
    rows = found(0.0) | {"curves": curves}
    ledger.put(Trial("dcgan", "pytorch", 1), {"steps": 1000}, rows)
    early, middle, late = (pair or (0, 0) for pair in normal.ranges("dcgan")["loss"])
    assert early == pytest.approx((5.95, 95.05))
    assert middle == pytest.approx((120.95, 480.05))
    assert late == pytest.approx((525.95, 975.05))
    assert normal.ranges("dcgan")["diversity"] == [None] * 3
    lines = normal.table("dcgan", "en").splitlines()
    assert lines[2] == "| number | steps 1 to 100 | steps 101 to 500 | steps 501 to 1000 |"
    assert lines[4] == "| `loss` | 5.9 to 95 | 120 to 480 | 530 to 980 |"
    with pytest.raises(UserError, match="needs once"):
        normal.with_table("no marks", "dcgan", "en")


def test_make_demo_is_the_recipe_of_cgan() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = re.search(r"^DEMO_STEPS \?= (\d+)$", makefile, re.MULTILINE)
    demo = re.search(r"pytorch/cgan\.py (.*)$", makefile, re.MULTILINE)
    assert steps is not None
    assert demo is not None
    given = " ".join(demo[1].split()).replace("$(DEMO_STEPS)", steps[1])
    assert given.startswith(" ".join(to_flags(read_recipes()["cgan"])))


def test_the_page_is_made_of_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m workshop.results` has been run since the figures changed."""
    committed = results.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(results, "PAGE", tmp_path / "results.md")
    monkeypatch.setattr(cards, "draw_card", lambda *_: None)
    results.write_page()
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == committed


# Whether the frameworks differ.


def test_frameworks_that_differ_have_a_small_p() -> None:
    random = np.random.default_rng(0)
    alike = [list(random.normal(size=5)) for _ in range(4)]
    assert (results.p_value(alike) or 0) > 0.1
    apart = [*alike[:3], list(5 + np.array(alike[3]))]
    assert (results.p_value(apart) or 1) < 0.001


def test_p_is_under_a_level_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    found = [results.p_value([list(random.normal(size=3)) for _ in range(3)]) for _ in range(40)]
    assert 0.02 < np.mean(np.array(found, float) < 0.25) < 0.5


def test_what_cannot_be_compared_has_no_p() -> None:
    assert results.p_value([[1.0, 2.0]]) is None
    assert results.p_value([[1.0, 2.0], [3.0]]) is None
    assert results.p_value([[1.0, 1.0], [1.0, 1.0]]) is None


def test_holms_correction() -> None:
    """By hand: 0.01 x 3, then 0.02 x 2, then 0.03 x 1, but never falling."""
    assert results.holm({"a": 0.03, "b": 0.01, "c": 0.02}) == {"b": 0.03, "c": 0.04, "a": 0.04}
    assert results.holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_the_verdict_names_the_models_that_differ() -> None:
    rows = {
        name: results.Row("Fréchet distance", {}, None, p)
        for name, p in (("ae", 0.001), ("gan", 0.2), ("vae", None))
    }
    assert "the frameworks differ by more than seeds do in ae." in results.verdict(rows)
    assert "each of 2 models" in results.verdict(rows)
    del rows["ae"]
    assert "no model is seen to depend on its framework" in results.verdict(rows)


def test_a_table_has_means_spreads_and_floors(folder: Path) -> None:
    ledger = fill("ae", {"steps": 3})
    text = results.table(ledger, results.read_rows(ledger))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert rows[0] == ["figure", *results.NAMES.values(), "real images", "better", "*p*"]
    assert rows[2][:2] == ["Fréchet distance", "0.60 ± 0.32"]  # 0.2 0.4 0.6 0.8 1.0
    assert rows[2][5:7] == ["0.5", "lower"]
    assert rows[3][:2] == ["minutes", "1.000 ± 0.000"]


# Cards.


def test_a_band_holds_what_it_says(folder: Path) -> None:
    fill("ae", {"steps": 3})
    band = cards.to_band(cards.read_curves("ae")["loss"])
    assert list(band.steps) == list(range(1, 21))
    levels = np.arange(1, 21) / 20
    assert np.allclose(band.low, np.quantile(np.repeat(levels, 3), 0.025), atol=0.01)
    assert np.allclose(band.middle, 0.525)
    assert np.allclose(band.high, np.quantile(np.repeat(levels, 3), 0.975), atol=0.01)


def test_the_share_of_a_curve_in_a_band() -> None:
    steps = np.arange(1.0, 11.0)
    band = cards.Band(steps, steps, steps + 1, steps + 2)
    assert cards.share_inside(cards.Curve(steps, steps + 1), band) == 1
    assert cards.share_inside(cards.Curve(steps, steps + 3), band) == 0
    half = np.where(steps > 5, steps + 1, steps - 1)
    assert cards.share_inside(cards.Curve(steps, half), band) == 0.5
    # Between the band's steps its ends are straight lines; beyond them nothing is known.
    between = cards.Curve(np.array([1.5, 1.5, 99.0]), np.array([1.6, 1.4, 0.0]))
    assert cards.share_inside(between, band) == 0.5
    assert np.isnan(cards.share_inside(cards.Curve(np.array([99.0]), np.array([0.0])), band))


def test_empty_cells_are_no_points() -> None:
    curve = cards.to_curve([(1, float("nan")), (2, 3.0), (3, float("nan"))])
    assert (list(curve.steps), list(curve.values)) == ([2], [3])


def run_folder(path: Path, level: float, model: str = "ae", **settings: Any) -> Path:
    """The folder of a made-up run."""
    path.mkdir()
    about = {"model": model, "settings": {"steps": 3, "batch_size": 64} | settings}
    (path / "config.json").write_text(json.dumps(about))
    rows = "".join(f"{step},{level},100.0\n" for step in range(1, 21))
    (path / "metrics.csv").write_text("step,loss,images_per_second\n" + rows)
    return path


@pytest.mark.parametrize(("level", "words"), [(0.5, "100% in"), (2.0, "0% in")])
def test_a_run_is_drawn_into_the_card(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    level: float,
    words: str,
) -> None:
    fill("ae", {"steps": 3, "batch_size": 64})
    run = run_folder(tmp_path / "run", level)
    monkeypatch.setattr("sys.argv", ["compare", "ae", "--run", str(run)])
    compare.main()
    said = capsys.readouterr()
    assert words in said.out
    assert "warning" not in said.err
    picture = np.asarray(Image.open(run / "compare.png").convert("RGB")).astype(int)
    orange = np.abs(picture - [0xD5, 0x5E, 0x00]).sum(-1) < 40
    assert orange.sum() > 100


def test_a_run_unlike_all_trials_is_called_so(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ledger = ledger_file.ledger("ae")
    random = np.random.default_rng(0)
    for seed in range(1, 6):
        rows = found(0.0)
        for row in rows["curves"]:
            row["loss"] = str(random.normal())
        ledger.put(Trial("ae", "pytorch", seed), {"batch_size": 64}, rows)
    for level, verdict in ((0.0, "normal"), (9.0, "unlike most of them")):
        run = run_folder(tmp_path / f"run{level}", level, batch_size=32)
        monkeypatch.setattr("sys.argv", ["compare", "ae", "--run", str(run)])
        compare.main()
        said = capsys.readouterr()
        assert said.out.splitlines()[0].endswith(verdict)
        assert "the trials have batch_size 64, this run 32" in said.err


def test_one_trial_that_failed_does_not_make_everything_normal(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    random = np.random.default_rng(0)
    for seed in range(1, 13):
        rows = found(9.0)
        for row in rows["curves"] if seed < 12 else []:
            row["loss"] = str(random.normal())
        ledger_file.ledger("ae").put(Trial("ae", "pytorch", seed), {"batch_size": 64}, rows)
    run = run_folder(tmp_path / "run", -9.0)
    monkeypatch.setattr("sys.argv", ["compare", "ae", "--run", str(run)])
    compare.main()
    assert capsys.readouterr().out.splitlines()[0].endswith("unlike most of them")


def test_a_run_beyond_the_trials_is_not_judged(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill("ae", {"batch_size": 64})
    run = run_folder(tmp_path / "run", 0.5)
    (run / "metrics.csv").write_text("step,loss\n900,0.5\n")
    monkeypatch.setattr("sys.argv", ["compare", "ae", "--run", str(run)])
    compare.main()
    assert "loss: the run has no value at the steps of the trials" in capsys.readouterr().out


def test_bad_input_with_a_run(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run \(config.json is missing\)"):
        compare.compare_with_trials("ae", compare.RunFolder(tmp_path / "nothing"))
    run = compare.RunFolder(run_folder(tmp_path / "run", 0.5))
    with pytest.raises(UserError, match="this is a run of ae, not of gan"):
        compare.compare_with_trials("gan", run)
    with pytest.raises(UserError, match="there are no trials of ae"):
        compare.compare_with_trials("ae", run)
    run.metrics.write_text("step,loss\n1,0.5\n2,half\n")
    with pytest.raises(UserError, match=r"metrics.csv is damaged \(could not convert"):
        compare.compare_with_trials("ae", run)
    run.metrics.unlink()
    with pytest.raises(UserError, match="no step of it has been logged yet"):
        compare.compare_with_trials("ae", run)
    for damaged in ("", "{", "[1]", '{"model": "ae"}', '{"model": 1, "settings": {}}', "[" * 10**5):
        run.config.write_text(damaged)
        with pytest.raises(UserError, match=r"config.json is damaged: it does not describe a run"):
            compare.compare_with_trials("ae", run)
    assert not (run.path / "compare.png").exists()
    with pytest.raises(UserError, match="--run trains nothing, so leave out --seed, --steps"):
        compare.parse(["ae", "--run", "x", "--steps", "3", "--seed=1"])
