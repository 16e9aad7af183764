"""Curves of real trials, each trained to its end once: what `benchmarks.search` replays searches over.

    python -m benchmarks.curves SHARDS FINISHED.jsonl [--epochs 18] [--share 1/2] [--pack]

SHARDS are EuroSAT's 13 bands at 64 px, one of ten classes a patch: 490 patches to learn from, 105 to validate on, 105
to test. Flows out: a line of FINISHED a trial, written when it is done, in random order, so that a part of it is a fair
sample; a second run goes on with those that lack, and several may run side by side. With --pack, a row a report in
`results/search-curves.parquet`.

Cheap nets are drawn more often than dear ones, so that a machine of two cores can do all. Seconds are those that a
trial's process had of a CPU, on one thread, for all that a trial of a search does: build, learn, validate. What is only
measured for the table (the test split; validation inside the first epochs, which not every search asks for) is not in
them, and what the latter took stands beside.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray

from benchmarks.rounds import RESULTS
from models.measure.evaluate import evaluate
from models.measure.metrics import score
from models.settings import TrainSettings
from models.training.fresh_net import fresh_net, image_size
from models.training.loop import Fit
from pipelines.dataset.manifest import Manifest, open_dataset
from pipelines.errors import TrainingError
from pipelines.feeding.open_rows import open_rows
from pipelines.feeding.rows import Rows

NETS = {
    "landnet-s": 14,
    "landnet": 10,
    "resnet18": 4,
    "tf_efficientnet_lite0": 3,
    "test_efficientnet": 10,
    "convnext_atto": 3,
    "test_convnext3": 9,
    "swin": 1,
}
"""How many trials of each, small forms of what the zoo has; the dearest takes 25 times as long as the cheapest."""

DEAR = ("resnet18", "tf_efficientnet_lite0", "convnext_atto", "swin")

INSIDE = 2  # first epochs that are validated at a third and at two thirds too
CPU = torch.device("cpu")
FILE = RESULTS / "search-curves.parquet"

Trial = dict[str, Any]
"""What is drawn: `number`, `model`, `learning_rate`, `weight_decay`, `batch_size`, `drop_path`."""


def draw(seed: int = 0) -> list[Trial]:
    """All trials, numbered, in random order; but of the dear nets only the first of each, the others come last."""
    generator = np.random.default_rng(seed)
    models = [model for model, count in NETS.items() for _ in range(count)]
    trials = [
        {
            "number": number,
            "model": models[place],
            "learning_rate": _log(generator, 2e-4, 1e-2),
            "weight_decay": _log(generator, 1e-3, 0.2),
            "batch_size": int(generator.choice([16, 32, 64])),
            "drop_path": round(float(generator.uniform(0, 0.3)), 3),
        }
        for number, place in enumerate(generator.permutation(len(models)))
    ]
    firsts = {trial["model"]: trial["number"] for trial in reversed(trials)}
    return sorted(trials, key=lambda each: each["model"] in DEAR and each["number"] != firsts[each["model"]])


def _log(generator: np.random.Generator, low: float, high: float) -> float:
    return float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.3g}")


class Watch:
    """Looks at a fit from outside: its metric on validation and test after an epoch, and inside the first ones."""

    def __init__(self, splits: Sequence[Rows], manifest: Manifest) -> None:
        self.train, self.validation, self.test = splits
        self.names, self.size = tuple(manifest.label_names), image_size(manifest)
        self.reports: list[dict[str, float]] = []
        self._started, self._outside = time.process_time(), 0.0

    def epochs(self, fit: Fit) -> None:
        """Train to the end; what there was stays in `reports` where the loss is no number any more."""
        for result in fit.epochs(self.train, self.validation, self._inside):
            value, seconds = self._ap(result.probabilities, self.validation), self._seconds()
            test = self._look(fit, self.test)
            self._add(result.number * len(self.train), value, seconds, test=test, train_loss=result.train_loss)

    def _inside(self, fit: Fit) -> None:
        batch, rows = fit.settings.batch_size, len(self.train)
        thirds = [3 * seen // rows for seen in ((fit.step - 1) * batch, fit.step * batch)]
        if fit.done < INSIDE and thirds[0] < thirds[1] < 3:
            seconds, outside = self._seconds(), self._outside
            value = self._look(fit, self.validation)
            self._add(fit.done * rows + fit.step * batch, value, seconds, check=self._outside - outside)

    def _look(self, fit: Fit, split: Rows) -> float:
        """The metric on a split, which takes no time."""
        started = time.process_time()
        training = fit.net.training
        value = self._ap(evaluate(fit.kept, split, self.size, CPU).probabilities, split)
        fit.net.train(training)
        self._outside += time.process_time() - started
        return value

    def _ap(self, probabilities: NDArray[np.float32], split: Rows) -> float:
        return float(score(probabilities, split.labels, self.names)["ap_macro"])

    def _seconds(self) -> float:
        return time.process_time() - self._started - self._outside

    def _add(self, patches: int, value: float, seconds: float, **more: float) -> None:
        rounded = {"value": round(value, 5), "seconds": round(seconds, 3)}
        self.reports.append({"patches": patches, **rounded, **{key: round(each, 5) for key, each in more.items()}})


def train(shards: str, trial: Trial, epochs: int) -> Trial:
    """Train a trial to its end; returns it with its `reports`, and `reason` if it failed."""
    torch.set_num_threads(1)
    manifest = open_dataset(shards)
    settings = TrainSettings(
        bands=",".join(manifest.band_names),
        epochs=epochs,
        seed=trial["number"],
        **{key: value for key, value in trial.items() if key != "number"},
    )
    bands, names = tuple(manifest.band_names), ["train", "validation", "test"]
    watch, reason = Watch(open_rows(shards, manifest, names, bands, "memory"), manifest), ""
    try:
        watch.epochs(Fit(fresh_net(settings, manifest)[0], settings, watch.size, CPU))
    except TrainingError as error:
        reason = error.what
    return {**trial, "reason": reason, "reports": watch.reports}


def read(finished: Path) -> Iterator[Trial]:
    """Trials that are done."""
    if finished.exists():
        yield from map(json.loads, finished.read_text(encoding="utf-8").splitlines())


def pack(finished: Path, out: Path = FILE) -> pd.DataFrame:
    """Write a row a report; returns them."""
    rows = [
        {key: value for key, value in trial.items() if key != "reports"} | report
        for trial in sorted(read(finished), key=lambda each: int(each["number"]))
        for report in trial["reports"]
    ]
    frame = pd.DataFrame(rows)
    frame.to_parquet(out, index=False, compression="zstd")
    return frame


def main(
    shards: Path,
    finished: Path,
    epochs: Annotated[int, typer.Option()] = 18,
    share: Annotated[str, typer.Option(help="which of the trials, where several processes have a share each")] = "1/1",
    pack_only: Annotated[bool, typer.Option("--pack", help="train nothing, write what is done as Parquet")] = False,
) -> None:
    """Train all trials that are not done yet, or pack those that are."""
    if pack_only:
        frame = pack(finished)
        print(f"{frame.number.nunique()} trials, {len(frame)} reports: {FILE.stat().st_size:,} bytes")
        return
    place, _, shares = share.partition("/")
    done = {trial["number"] for trial in read(finished)}
    for trial in [trial for trial in draw() if trial["number"] not in done][int(place) - 1 :: int(shares)]:
        trial = train(str(shards), trial, epochs)
        with finished.open("a", encoding="utf-8") as file:
            file.write(json.dumps(trial) + "\n")
        seconds = trial["reports"][-1]["seconds"] if trial["reports"] else 0.0
        best = max((report["value"] for report in trial["reports"]), default=math.nan)
        print(trial["number"], trial["model"], trial["reason"] or f"{best:.4f}", f"{seconds:.0f} s", flush=True)


if __name__ == "__main__":
    typer.run(main)
