"""A whole search on real Ray Tune: small, but every part is there."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from landsweep import command_line
from models.bundle.config import check_bundle, read_config, read_metrics
from models.bundle.weights import load_bundle
from models.explain.tensorboard_graph import FILE
from models.report.epoch_table import TABLE, read_epochs
from models.report.report import METRIC_FILES
from models.training.fresh_net import fresh_net, image_size
from models.training.loop import Fit
from pipelines.bands import parse_bands
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import BandError, BusyError, SettingsError, StudyError, TrainingError
from pipelines.feeding.open_rows import open_rows
from pipelines.files import exclusive
from pipelines.packing.ingest import ingest
from pipelines.settings import IngestSettings
from tests.models.bright import write_bright
from tests.models.events import read_graph
from tune.search import run_search
from tune.settings import Range, Scheduler, SearchSettings, Space
from tune.study import BEST, ENSEMBLE, Study, list_studies, open_storage, open_study

ROOT = Path(__file__).parents[2]


def space_of(*bands: str, **more: Any) -> Space:
    return Space(model=["landnet-s"], bands=list(bands), batch_size=[16], **more)


def settings_for(data: Path, experiments: Path, name: str = "small", **more: object) -> SearchSettings:
    plain = {"name": name, "data": data, "experiments": experiments, "trials": 3, "epochs": 2, "explain": 0}
    plain |= {"space": space_of("B04", "B05,B04"), "scheduler": Scheduler(grace=24, finalists=1), "concurrent": 1}
    plain["finals"] = {"seeds": 1, "ensemble": 0}
    return SearchSettings.model_validate(plain | more)


@pytest.fixture(scope="module")
def bright(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small patches of two classes, for what is about trials and not about what they learn; and a Ray for them."""
    return write_bright(tmp_path_factory.mktemp("bright") / "shards", {"train": 48, "validation": 24, "test": 12})


@pytest.fixture(scope="module")
def searched(bright: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSettings, Study, str]:
    """A finished search and what it printed."""
    settings = settings_for(
        bright,
        tmp_path_factory.mktemp("experiments"),
        space=space_of("B04", "B05,B04", loss=["focal", "hybrid"]),
        loss={"gamma": 1},
        ema=0.5,
        beta=2,
        explain=1,
        finals={"top": 1, "ensemble": 0},
    )
    printed = io.StringIO()
    study = run_search(settings, Console(width=200, file=printed))
    return settings, study, printed.getvalue()


def test_a_search_that_failed_before_its_first_trial_may_be_run_again(bright: Path, tmp_path: Path) -> None:
    settings = settings_for(bright, tmp_path, storage=f"sqlite:///{tmp_path}/all.db", trials=1, epochs=1, gpus=64)
    for _ in range(2):
        with pytest.raises(SettingsError, match="64 GPU"):
            run_search(settings, Console(file=io.StringIO()))
    with pytest.raises(StudyError, match='the storage has a study "small" already'):
        run_search(settings_for(bright, tmp_path / "other", storage=settings.storage), Console(file=io.StringIO()))


def test_every_trial_ends_and_the_best_one_is_kept(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, study, _ = searched
    assert len(study.trials) == study.finished == 3
    assert study.best is not None
    config = check_bundle(settings.folder / BEST)
    assert config.trial["number"] == study.best.number
    assert config.trial["parameters"]["bands"] == study.best.parameters["bands"]
    metrics = read_metrics(settings.folder / BEST)
    assert metrics["validation"]["ap_macro"] == pytest.approx(study.best.value)
    load_bundle(settings.folder / BEST)


def test_trials_are_fitted_as_the_search_says(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, study, text = searched
    assert study.best is not None
    config = read_config(settings.folder / BEST)
    told = config.trial["parameters"]
    assert {row.parameters["loss"] for row in study.trials} <= {"focal", "hybrid"}
    assert (told["loss"]["name"], told["loss"]["gamma"]) == (study.best.parameters["loss"], 1)
    assert (told["ema"], told["beta"], told["metric"]) == (0.5, 2, "ap_macro")
    best = max(study.best.curves, key=lambda row: row["ap_macro"])
    assert config.trial["patches"] == best["patches"], "the bundle is that of the best report"
    assert config.temperature != 1, "as a run's, it is calibrated"
    effect = json.loads((settings.folder / "results" / "calibration.json").read_text())["validation"]
    assert effect["with"]["bce"] < effect["without"]["bce"], "with what is kept: the mean of the weights"
    assert study.best.parameters["loss"] in text


def test_the_winner_has_all_results_of_a_run(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, study, _ = searched
    folder = settings.folder / "results"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {
        *(name for split in ("validation", "test") for name in METRIC_FILES[split]), METRIC_FILES["train"][1],
        "predictions.npz", "calibration.json", "activations.pdf", "gradcam_visualizations/best_01.png",
        "visualizations/learning_curves.png", "visualizations/best_and_worst_patches.png", FILE,
    } <= files  # fmt: skip
    metrics = read_metrics(settings.folder / BEST)
    for split in ("validation", "test"):
        whole, by_class = (json.loads((folder / name).read_text()) for name in METRIC_FILES[split])
        assert whole | {"per_class": by_class} == metrics[split]
    assert study.best is not None
    assert [row["epoch"] for row in read_epochs(settings.folder / TABLE)] == [1, 2]
    assert len(read_graph(folder / FILE)) > 20


def test_trials_pause_within_an_epoch_and_the_best_goes_on(searched: tuple[SearchSettings, Study, str]) -> None:
    """48 patches an epoch, a rung at 24: batches of 16 reach it with 32."""
    _, study, text = searched
    assert sorted(row.state for row in study.trials) == ["complete", "pruned", "pruned"]
    assert all(row.curves[0]["patches"] == 32 for row in study.trials)
    for row in study.trials:
        assert (row.state == "complete") == (row.patches == 96)
        if row.state == "pruned":
            assert f"trial {row.number:>3}  paused" in text
            assert row.reason == "others did better at 32 patches"


def test_a_trial_that_paused_has_learned_what_one_that_never_did_has(
    searched: tuple[SearchSettings, Study, str], bright: Path
) -> None:
    """To the last bit: paused within an epoch, looked at there, and gone on with by another job."""
    settings, study, text = searched
    best = study.best
    assert best is not None
    assert f"trial {best.number:>3}  paused " in text
    own = settings.train_settings(best.parameters)
    manifest = open_dataset(str(bright))
    bands = parse_bands(own.bands, manifest.band_names)
    train, validation = open_rows(str(bright), manifest, ("train", "validation"), bands, "memory")
    torch.set_num_threads(own.threads)
    fit = Fit(fresh_net(own, manifest)[0], own, image_size(manifest), torch.device("cpu"))
    seen = [(fit.seen(len(train)), epoch.validation_loss) for epoch in fit.epochs(train, validation)]
    kept = [(row["patches"], row["validation_loss"]) for row in best.curves if row["epoch"] == int(row["epoch"])]
    assert kept == [(patches, round(loss, 5)) for patches, loss in seen]


def test_progress_names_each_trial(searched: tuple[SearchSettings, Study, str]) -> None:
    _, study, text = searched
    assert all(f"trial {row.number:>3}  {row.state}" in text for row in study.trials if row.state == "complete")
    begun = [line for line in text.splitlines() if " 0/96 patches" in line]
    assert len(begun) == 3
    assert all("learning_rate" in line for line in begun)


def test_finished_trials_keep_no_optimizer_state(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, _, _ = searched
    assert not list(settings.folder.rglob("state*.pt"))
    assert not (settings.folder / "jobs").exists(), "Tune's own records are nothing to go on from"


def test_study_can_be_listed_and_read(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, study, _ = searched
    assert list_studies(settings.experiments) == ["small"]
    assert open_study(settings.experiments, "small").settings == study.settings
    with pytest.raises(StudyError, match='Did you mean "small"'):
        open_study(settings.experiments, "smal")


@pytest.mark.slow
def test_streaming_trials_that_hold_every_cpu_run_to_the_end(
    real_data: Path, ray_session: None, tmp_path: Path
) -> None:
    """Over real patches; the session's Ray has 4 CPUs, and two trials of 2 leave none for anybody else."""
    ingest(IngestSettings(source=str(real_data / "bigearthnet-v2"), out=str(tmp_path / "shards")))
    settings = settings_for(
        tmp_path / "shards", tmp_path, name="real", space=space_of("rgb-nir", "B09,B01"), trials=2, epochs=1, cpus=2,
        feed="streamed", concurrent=2,
    )  # fmt: skip
    study = run_search(settings, Console(quiet=True))
    assert study.finished == 2
    assert check_bundle(settings.folder / BEST).num_classes == 19


def test_same_name_twice_is_refused(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, _, _ = searched
    with pytest.raises(StudyError, match="landsweep search resume small"):
        run_search(settings, Console())


def test_more_trials_than_before_are_asked_for_by_going_on(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, _, _ = searched
    more = settings.model_copy(update={"trials": settings.trials + 3})
    with pytest.raises(StudyError, match=rf"landsweep search resume small --trials {more.trials}`"):
        run_search(more, Console())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": ["landnet", "landnet-s"]}, "those of model have: landnet-s were drawn from, landnet, landnet-s are"),
        ({"batch_size": [8]}, "those of batch_size have: "),
        ({"weight_decay": Range(low=0.0, high=0.2)}, "numbers evenly over their logarithm were drawn from, numbers e"),
    ],
)
def test_other_choices_than_a_study_has_drawn_from_are_refused_before_ray(
    searched: tuple[SearchSettings, Study, str], change: dict[str, Any], said: str
) -> None:
    settings, study, _ = searched
    other = settings.model_copy(update={"space": settings.space.model_copy(update=change), "trials": 99})
    with pytest.raises(StudyError, match=f"a study's choices cannot change, and .*{said}"):
        run_search(other, Console(), resume=True)
    assert open_study(settings.experiments, settings.name) == study


def test_search_in_progress_is_refused(bright: Path, tmp_path: Path) -> None:
    settings = settings_for(bright, tmp_path)
    with exclusive(settings.folder / ".lock", "this test"), pytest.raises(BusyError, match="already running"):
        run_search(settings, Console())


def test_what_only_the_dataset_knows_is_checked_first(bright: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='unknown model "resnet"'):
        run_search(settings_for(bright, tmp_path, space=Space(model=["resnet"], bands=["B04"])), Console())
    with pytest.raises(BandError, match="B99"):
        run_search(settings_for(bright, tmp_path, space=Space(bands=["B99"])), Console())
    with pytest.raises(SettingsError, match="no machine here has more than"):
        run_search(settings_for(bright, tmp_path, cpus=64), Console())
    with pytest.raises(StudyError, match="no such study"):
        run_search(settings_for(bright, tmp_path, name="absent"), Console(), resume=True)
    for pretrained, said in (
        ("absent.pth", "no such file of weights"),
        ("hub", 'no weights of "landnet-s" on timm\'s hub'),
        (str(bright / "manifest.json"), "not weights, or damaged"),
    ):
        with pytest.raises(SettingsError, match=said):
            space = space_of("B04", pretrained=["", pretrained])
            run_search(settings_for(bright, tmp_path, name="weights", space=space), Console())
    assert not (tmp_path / "weights").exists()


def test_search_refused_before_its_first_trial_can_be_mended_and_run(
    bright: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one trial starts from a bundle's weights, named from where the search is started, and has little patience."""
    with pytest.raises(SettingsError, match="no machine here has more than"):
        run_search(settings_for(bright, tmp_path, name="mended", space=space_of("B04"), cpus=64), Console(quiet=True))
    monkeypatch.chdir(bundle.parent)
    still = Range(low=1e-12, high=2e-12)
    space = space_of("B04", pretrained=[bundle.name], learning_rate=still).model_copy(update={"model": ["landnet"]})
    here = Path(os.path.relpath(tmp_path))  # of this process; trials have working directories of their own
    mended = settings_for(bright, here, name="mended", space=space, trials=1, epochs=60, patience=2)
    (row,) = run_search(mended, Console(quiet=True)).trials
    assert (row.state, row.parameters["pretrained"]) == ("complete", str(bundle))
    reached = read_config(mended.folder / BEST).trial
    assert row.epochs == reached["epoch"] + 2 < 60
    assert reached["parameters"]["pretrained"] == bundle.name, "a bundle goes to others: no paths of this machine"


def test_diverging_trials_fail_with_their_reason(bright: Path, tmp_path: Path) -> None:
    wild = space_of("B04", learning_rate=Range(low=9.0, high=10.0), weight_decay=Range(low=9.0, high=10.0))
    settings = settings_for(bright, tmp_path, name="wild", space=wild, trials=2, scheduler=Scheduler(name="fifo"))
    with pytest.raises(TrainingError, match="no trial came to a result") as caught:
        run_search(settings, Console(quiet=True))
    assert "Lower the learning rate" in str(caught.value)
    study = open_study(settings.experiments, "wild")
    assert [row.state for row in study.trials] == ["failed", "failed"], "retried, or not counted"
    assert all("epoch 1" in row.reason for row in study.trials)


def test_time_budget_ends_the_trials_under_way(bright: Path, tmp_path: Path) -> None:
    """By a clock that stands still until an epoch is over, as no machine's does: so none is too slow."""
    settings = settings_for(bright, tmp_path, name="short", epochs=10_000, trials=2, time_budget=20)

    def clock() -> float:
        return 20 if any(row.curves for row in open_study(tmp_path, "short").trials) else 0

    study = run_search(settings, Console(quiet=True), clock=clock)
    assert "running" not in {row.state for row in study.trials}
    stopped = [row for row in study.trials if row.reason == "the time budget was over"]
    assert stopped
    assert check_bundle(settings.folder / BEST)


@pytest.mark.slow
def test_two_objectives_and_a_constraint_are_searched_to_the_end(bright: Path, tmp_path: Path) -> None:
    """landnet-s has 0.34 million parameters, landnet 0.8: more than it may."""
    space = Space(model=["landnet", "landnet-s"], bands=["B04"], batch_size=[16])
    settings = settings_for(
        bright, tmp_path, name="two", space=space, sampler="nsga2", trials=4,
        objectives=["ap_macro", "latency"], constraints=["parameters <= 500 k"],
        scheduler=Scheduler(grace=24, finalists=2),
    )  # fmt: skip
    printed = io.StringIO()
    study = run_search(settings, Console(width=200, file=printed))
    assert study.finished == 4
    for row in study.trials:
        assert row.costs["latency"] > 0
        assert (row.costs["parameters"] < 500_000) == (row.parameters["model"] == "landnet-s")
    best = study.best
    assert best is not None
    assert (best.state, best.parameters["model"]) == ("complete", "landnet-s")
    assert f"Pareto set: {len(study.ranked())} trial" in printed.getvalue()
    assert "complete trials keep to parameters <= 500 k." in printed.getvalue()
    net = load_bundle(settings.folder / BEST).net
    assert sum(each.numel() for each in net.parameters()) == best.costs["parameters"]
    held = optuna.load_study(study_name="two", storage=open_storage(settings, settings.folder))
    assert held.metric_names == ["ap_macro", "latency"]
    assert sorted(each.number for each in held.best_trials) == sorted(row.number for row in study.ranked())
    other = settings.model_copy(update={"objectives": ["ap_macro", "size"], "trials": 5})
    with pytest.raises(StudyError, match="objectives cannot change: ap_macro, latency before, ap_macro, size now"):
        run_search(other, Console(), resume=True)
    again = run_search(settings.model_copy(update={"trials": 5}), Console(quiet=True), resume=True)
    assert [row.number for row in again.trials] == [0, 1, 2, 3, 4]
    assert all(row.costs for row in again.trials)


@pytest.mark.slow
def test_a_winner_that_breaks_the_constraints_is_kept_and_not_registered(bright: Path, tmp_path: Path) -> None:
    settings = settings_for(
        bright, tmp_path / "experiments", name="dear", space=space_of("B04"), trials=1, epochs=1,
        constraints=["parameters <= 1 k"],
    )  # fmt: skip
    (tmp_path / "dear.yaml").write_text(settings.dump_yaml(), encoding="utf-8")
    said = CliRunner().invoke(command_line(), ["search", "run", str(tmp_path / "dear.yaml")])
    assert said.exit_code == 0, said.output
    assert "no trial keeps to parameters <= 1 k; trial 0 comes nearest, with parameters 345 k." in said.output
    assert "It is not registered, as it breaks the constraints." in said.output
    assert check_bundle(settings.folder / BEST)
    assert not (tmp_path / "registry").exists()


@pytest.mark.slow
def test_the_winner_is_the_best_mean_over_seeds_and_an_ensemble_is_offered(bright: Path, tmp_path: Path) -> None:
    finals = {"top": 2, "seeds": 2, "ensemble": 3}
    settings = settings_for(bright, tmp_path, name="finals", scheduler=Scheduler(grace=24, finalists=2), finals=finals)
    printed = io.StringIO()
    study = run_search(settings, Console(width=200, file=printed))
    assert [sorted(each.values) for each in study.finalists] == [[0, 1], [0, 1]]
    assert study.finalists[0].mean >= study.finalists[1].mean
    won = read_config(settings.folder / BEST).trial
    assert won["number"] == study.finalists[0].number
    assert won["finals"]["mean"] == study.finalists[0].mean
    assert "Ensemble" in printed.getvalue()
    if (settings.folder / ENSEMBLE).is_dir():
        load_bundle(settings.folder / ENSEMBLE)
    before = (settings.folder / "finals" / "finals.json").read_text()
    more = settings.model_copy(update={"trials": 4})
    again = run_search(more, Console(quiet=True), resume=True)
    assert len(again.trials) == 4
    kept = json.loads((settings.folder / "finals" / "finals.json").read_text())
    assert json.loads(before) == kept[:2], "what was run in the finals is not run again"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_search_that_was_ended_goes_on_with_every_trial(bright: Path, tmp_path: Path, sent: signal.Signals) -> None:
    """After the first trial rests and while another runs: nothing is lost, drawn anew or run again."""
    more = {"epochs": 12, "trials": 5, "concurrent": 1, "checkpoint_seconds": 0}
    settings = settings_for(bright, tmp_path / "experiments", name="ended", **more)
    file = tmp_path / "ended.yaml"
    file.write_text(settings.dump_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "landsweep", "search", "run", str(file), "--no-register"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True
    ) as process:
        while process.poll() is None:
            time.sleep(0.2)
            if "ended" in list_studies(settings.experiments):
                states = [row.state for row in open_study(settings.experiments, "ended").trials]
                if states.count("paused") >= 2 and "running" in states:
                    break
        assert process.poll() is None, "the search was over before it was ended"
        if sent == signal.SIGKILL:
            os.killpg(process.pid, sent)
        else:
            process.send_signal(sent)
        said, _ = process.communicate(timeout=100)
    if sent != signal.SIGKILL:
        assert "landsweep search resume ended" in said
        assert "Traceback" not in said
    before = open_study(settings.experiments, "ended").trials
    study = run_search(settings, Console(quiet=True), resume=True)
    assert len(study.trials) == study.finished == 5
    for old, new in zip(before, study.trials, strict=False):
        assert new.parameters == old.parameters
        assert new.curves[: len(old.curves)] == old.curves, "what was learned is not learned again"
