"""What a training run can be told. Light to import: the command line builds its help from here.

Flows in: flags or YAML. Flows out: one frozen `TrainSettings`, which is also what a trial of a search gets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from models.metric_keys import Goal
from pipelines.bands import PATCH_SIZE
from pipelines.settings import Address, Settings


class Augment(Settings):
    """How training patches are varied, each by its own draw; what is 0 or false is off."""

    flips: bool = Field(default=True, description="flips and quarter turns: the eight symmetries of the square")
    rotation: float = Field(default=0, ge=0, le=45, description="largest rotation in degrees, to either side")
    erasing: float = Field(default=0, ge=0, le=1, description="chance of a patch to have a rectangle erased")
    erasing_area: float = Field(
        default=0.2, gt=0, le=1, description="largest share of a patch's area that a rectangle takes"
    )
    jitter: float = Field(
        default=0, ge=0, le=0.3, description="standard deviation of the factor on each band's brightness"
    )
    mixup: float = Field(
        default=0, ge=0, le=10, description="alpha of the Beta distribution by which pairs of patches are mixed"
    )


LossName = Literal["bce", "focal", "asymmetric", "soft-f1", "hybrid"]


class Loss(Settings):
    """What training minimises; a parameter concerns the losses that its description names."""

    name: LossName = Field(
        default="bce",
        description="bce: binary cross-entropy; focal (Lin et al. 2017); asymmetric (Ridnik et al. 2021); soft-f1: "
        "F1 of the batch, smoothed; hybrid: bce and soft-f1",
    )
    max_positive_weight: float = Field(
        default=5, ge=1, le=1000, description="of bce, focal, hybrid: largest weight of a class's positives; 1: none"
    )
    gamma: float = Field(default=2, ge=0, le=10, description="of focal: how much less easy decisions count; 0: bce")
    gamma_positive: float = Field(default=0, ge=0, le=10, description="of asymmetric: gamma of positives")
    gamma_negative: float = Field(default=4, ge=0, le=10, description="of asymmetric: gamma of negatives")
    margin: float = Field(
        default=0.05, ge=0, le=0.5, description="of asymmetric: negatives with a probability below are not learned from"
    )
    smoothing: float = Field(
        default=1, ge=1e-3, le=1000, description="of soft-f1, hybrid: added above and below the line of each class's F1"
    )
    f1_share: float = Field(default=0.5, ge=0, le=1, description="of hybrid: share of soft-f1, the rest is bce")
    label_smoothing: float = Field(
        default=0, ge=0, lt=1, description="share of the way that labels are moved to one half: at 0.1, 1 becomes 0.95"
    )


EXPLAINED = 2
Explained = Annotated[
    int,
    Field(ge=0, le=50, description="best and worst patches to show where the net looks, so many of each; 0: none"),
]


class DrawnSettings(Settings):
    """What a search draws for each of its trials: which net on which bands, and the steps it learns by."""

    model: str = Field(default="landnet", description="model name; see `landsweep models list`")
    pretrained: str = Field(
        default="", description="weights to start from: hub (timm's), a file, or a bundle; none if empty"
    )
    bands: str = Field(default="all", description="band set, or a comma list of bands")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="patches a step")
    learning_rate: float = Field(default=2e-3, gt=0, le=10, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.02, ge=0, le=10, description="decoupled weight decay of AdamW")


class FitSettings(Settings):
    """How a net is fitted, whichever it is: what all trials of a search have in common."""

    epochs: int = Field(default=10, ge=1, le=10_000, description="passes over the training split, at most")
    pretrained_bands: str = Field(
        default="",
        description="what the channels of a file of pretrained weights are, in their order: a comma list, or a band "
        "set; needed only of files that do not say, see `landsweep models weights FILE`",
    )
    pretrained_normalisation: Literal["dataset", "theirs"] = Field(
        default="dataset",
        description="numbers are normalised by the dataset's means and deviations, or as pretrained weights had it",
    )
    metric: Goal = Field(
        default="ap_macro", description="validation metric that the best epoch, and the best trial, is chosen by"
    )
    patience: int = Field(default=0, ge=0, description="epochs without a better metric after which it stops; 0: never")
    beta: float = Field(default=1, gt=0, le=10, description="thresholds are fitted for F-beta: 1 for F1, 2 for F2")
    loss: Loss = Field(default=Loss(), description="what is minimised")
    augment: Augment = Field(default=Augment(), description="how training patches are varied")
    sampling: Literal["shuffled", "weighted"] = Field(
        default="shuffled", description="each patch once an epoch, or drawn so that rare classes come more often"
    )
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="before the classifier; the model's own if empty"
    )
    drop_path: float | None = Field(
        default=None, ge=0, lt=1, description="chance of a patch to skip the last block; the model's own if empty"
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps over which the rate rises")
    schedule: Literal["cosine", "plateau"] = Field(
        default="cosine", description="then it falls to 0 along a cosine, or whenever the validation loss stands still"
    )
    plateau_patience: int = Field(default=3, ge=1, le=10_000, description="epochs that make a plateau")
    plateau_factor: float = Field(default=0.3, gt=0, lt=1, description="what the rate is multiplied by on a plateau")
    clip: float = Field(default=1, ge=0, description="longest gradient, longer ones are shortened to it; 0: none are")
    ema: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="decay of the running mean of the weights that is kept, such as 0.999; 0: none",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="of the activations in training")
    accumulate: int = Field(
        default=1, ge=1, le=65_536, description="parts a batch is cut into, so that it needs less memory"
    )
    compile: bool = Field(default=False, description="torch.compile: minutes at the start, faster steps on a GPU")
    seed: int = Field(default=0, ge=0, lt=2**31, description="what weights, order, augmentation and searches draw from")


class TrainSettings(FitSettings, DrawnSettings):
    """One training run: which net on which bands, and how it is fitted."""

    # Listed before these two: the fields of the last base, then those of the first.
    device: str = Field(default="auto", description="cpu, cuda, cuda:1, …; auto takes a GPU if there is one")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves torch's own choice")


class RunSettings(TrainSettings):
    """What `landsweep train` does: one training run, on which data, and where it is kept."""

    data: Address = Field(default="", description="dataset folder, or its URL")
    out: Path | None = Field(default=None, description="folder of the run; experiments/MODEL_BANDS_SEED if not given")
    feed: Literal["auto", "memory", "streamed"] = Field(
        default="auto", description="memory: read once; streamed: read as it is used; auto: memory if a third holds it"
    )
    workers: int = Field(default=1, ge=1, le=1024, description="processes that share each batch, by Ray Train")
    checkpoint_seconds: float = Field(default=60, gt=0, description="seconds between two checkpoints, at least")
    checkpoint_steps: int = Field(
        default=0, ge=0, description="steps between two checkpoints; 0 leaves it to the seconds"
    )
    test: bool = Field(default=True, description="score the best epoch on the test split at the end")
    explain: Explained = EXPLAINED


class ProbeSettings(Settings):
    """What `landsweep probe` does: whose frozen features are taken, of which data, and where the probe is kept."""

    data: Address = Field(default="", description="dataset folder, or its URL")
    out: Path | None = Field(
        default=None, description="folder of the run; experiments/probe_MODEL_BANDS_SEED if not given"
    )
    model: str = Field(
        default="",
        description="net whose features are taken, see `landsweep models list`; if empty that of the bundle, else "
        "random-convolutions, which needs no weights",
    )
    pretrained: str = Field(
        default="", description="its weights, which are not trained: hub (timm's), a file, or a bundle"
    )
    bands: str = Field(default="", description="band set, or a comma list of bands; if empty the bundle's, else all")
    metric: Goal = Field(default="ap_macro", description="validation metric that strength and neighbours are chosen by")
    beta: float = Field(default=1, gt=0, le=10, description="thresholds are fitted for F-beta: 1 for F1, 2 for F2")
    seed: int = Field(default=0, ge=0, lt=2**31, description="what kernels, and weights that are not given, draw from")
    batch_size: int = Field(default=64, ge=1, le=65_536, description="patches at a time")
    device: str = Field(default="auto", description="cpu, cuda, cuda:1, …; auto takes a GPU if there is one")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves torch's own choice")
    test: bool = Field(default=True, description="score it on the test split too")
    explain: Explained = EXPLAINED


class ShowSettings(Settings):
    """What `landsweep models show` shows, of a model on which patches."""

    name: str = Field(description="model name: see `landsweep models list`, or any of timm's")
    bands: str = Field(default="all", description="band set, or a comma list of bands")
    size: int = Field(default=PATCH_SIZE, ge=20, le=512, description="pixels a side of the patches")
    classes: int = Field(default=19, ge=1, le=10_000, description="number of classes")
    depth: int = Field(default=2, ge=1, le=20, description="how far to go into modules that hold others")
    out: Path | None = Field(default=None, description="folder for a picture of it, as PNG and SVG; none if not given")


class WeightsSettings(Settings):
    """What `landsweep models weights` looks into, and the net that it would be loaded into."""

    file: Path = Field(description="file of weights, or a bundle's folder")
    model: str = Field(default="", description="model to load them into; the one that they seem to be of if not given")
    bands: str = Field(default="all", description="bands of that model: a set, or a comma list")
    size: int = Field(default=PATCH_SIZE, ge=20, le=512, description="pixels a side of its patches")
    pretrained_bands: str = Field(
        default="", description="what the file's channels are, in their order, where it does not say"
    )


class BundleSettings(Settings):
    """A bundle, and the patches it is run on."""

    source: Path = Field(description="folder of a run, of a search, or of a bundle")
    data: Address = Field(description="dataset folder, or its URL")
    split: Literal["train", "validation", "test"] = Field(default="test", description="split of the dataset")
    checkpoint: Literal["best_acc", "best_loss", "final"] = Field(
        default="best_acc", description="which of a run's bundles"
    )
    batch_size: int = Field(default=64, ge=1, le=65_536, description="patches at a time")
    device: str = Field(default="auto", description="cpu, cuda, cuda:1, …; auto takes a GPU if there is one")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves torch's own choice")


class AssessSettings(BundleSettings):
    """What `landsweep test` scores, on which split."""

    out: Path | None = Field(
        default=None, description="folder for results; a run's own if not given; of a bundle, none"
    )
    explain: Explained = EXPLAINED


class ReportSettings(Settings):
    """What `landsweep report` computes from, and where to."""

    predictions: Path = Field(description="predictions.npz: labels, and probs or preds")
    out: Path = Field(description="folder for metrics and figures; what a report wrote there before is replaced")
    data: Address = Field(default="", description="dataset they were made of, for pictures of best and worst patches")
    split: Literal["auto", "train", "validation", "test"] = Field(
        default="auto", description="split they are of; auto: what the file says, or test"
    )
    examples: int = Field(default=6, ge=1, le=50, description="best and worst patches to show, so many of each")


class ExplainSettings(BundleSettings):
    """What `landsweep explain` looks into, on which patches."""

    out: Path | None = Field(
        default=None,
        description="folder for pages and figures, what was explained there before is replaced; a run's own results "
        "if not given",
    )
    patches: int = Field(default=6, ge=1, le=50, description="best and worst patches to show, so many of each")
    patch_id: list[str] = Field(
        default=[], max_length=100, description="patch to show in place of these; may be given several times"
    )
    label: list[str] = Field(
        default=[],
        description="class to show of each patch, in place of all that were found, missed and wrongly said; may be "
        "given several times",
    )
    method: Literal["gradcam", "ablationcam"] = Field(
        default="gradcam", description="gradcam: by gradient; ablationcam: without, by taking channels away; slower"
    )
    sample: int = Field(
        default=128, ge=1, le=100_000, description="patches that the importance of bands is measured on, at most"
    )


class ExportSettings(Settings):
    """What `landsweep export` writes as ONNX, and where."""

    source: Path = Field(description="folder of a run, of a search, or of a bundle")
    out: Path = Field(description="ONNX file to write, such as model.onnx; one that is there is replaced")
    checkpoint: Literal["best_acc", "best_loss", "final"] = Field(
        default="best_acc", description="which of a run's bundles"
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves torch's own choice")
