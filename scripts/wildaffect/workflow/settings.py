"""The configuration of a run: every key with its type, default and meaning, and the completion of what a person wrote.

``config.yaml``, ``workflow/schemas/config.schema.json`` and ``docs/configuration.md`` are written from here by
`wildaffect.workflow.reference`. Options that belong to one library module stand there: detection and tracking in
`wildaffect.faces.options`, annotations in `wildaffect.corpus.labels`, recipes with their systems.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from wildaffect import systems
from wildaffect.config import (
    Names,
    Natural,
    Positive,
    Problem,
    Section,
    Seed,
    Text,
    Wrong,
    check,
    completed,
    distinct,
    laid_over,
    nearest,
    one_of,
    parse,
    shown,
)
from wildaffect.corpus.labels import VALENCE_AROUSAL, LabelRules
from wildaffect.faces import templates
from wildaffect.faces.options import DETECTORS, TrackingOptions
from wildaffect.faces.templates import SHEET_SOURCE, SHEETS
from wildaffect.features.imported import Import
from wildaffect.features.registry import FEATURES
from wildaffect.features.spec import IMAGE_NETWORKS, SEEDED, SPEECH_NETWORKS
from wildaffect.scoring.editions import editions
from wildaffect.scoring.ensembles import target_columns
from wildaffect.systems.types import Spec, Variant, recipe_values


def trained_here() -> list[str]:
    """Systems that do not come trained."""
    return [name for name in systems.available() if not systems.spec(name).trained]


def tasks() -> list[str]:
    """The tasks of all editions."""
    return list(dict.fromkeys(task for edition in editions().values() for task in edition))


DLIB_MODELS = ("hog", "cnn")
COMMAND_LINE = "Values inside blocks given by --config are text; write them into a file and name it with --configfile."

Name = Annotated[str, Field(pattern="^[a-z0-9_]+$")]
Edition = Annotated[str, one_of(editions)]
Editions = Annotated[tuple[Edition, ...], AfterValidator(distinct)]


class Demo(Section):
    """Size of the rendered corpus of the layout `demo`."""

    subjects: Annotated[int, Field(ge=6)] = 10
    """Number of subjects."""

    seconds: Annotated[float, Field(gt=0)] = 20
    """Length of each video in seconds."""

    seed: Seed = 0
    """Seed of all that is random in it."""


class Corpus(Section):
    """Videos and their annotations."""

    layout: Literal["affwild2", "folder", "table", "bids", "audformat", "demo"] = "affwild2"
    """How videos and annotations are stored.
    - affwild2: annotation folders of any ABAW edition, videos anywhere below `root`
    - folder: any folder of videos without labels; everything is predicted
    - table: `root`/trials.csv lists videos, partitions and annotation files; see docs/corpora.md
    - bids: a BIDS dataset with recordings in beh/, labels in events files
    - audformat: a database of that format, with tables as CSV or Parquet
    - demo: a small rendered corpus with known labels (`make demo`)"""

    root: Text = "data/affwild2"
    """Folder of the videos, which is searched with its subfolders."""

    annotations: Text | None = None
    """Folder of the annotations, if it is not below `root`."""

    edition: Edition = "abaw2"
    """Edition of the challenge whose annotations these are; `wildaffect editions` lists them."""

    accept_findings: Names = ()
    """Errors of the audit that are known and accepted, such as [unreadable_video, missing_media]. A run finishes what it can; if the audit
    has errors that are not named here, it then ends with an error."""

    persons: Annotated[int, Field(ge=1, le=99)] = 1
    """Most persons of a video that are followed, for the layout `folder`. With 1 a video is one trial of its main person; with more the
    one who is seen longest is the trial `<video>#1`, the next `<video>#2`, and so on. Who is not there appears nowhere."""

    demo: Demo = Demo()
    """Size of the rendered corpus, for the layout `demo`."""

    @model_validator(mode="after")
    def _persons_of_folders(self) -> "Corpus":
        if self.persons > 1 and self.layout != "folder":
            raise ValueError(
                f"persons: {self.persons} is for the layout folder; trials of the layout {self.layout} name their persons"
            )
        return self


class Folds(Section):
    """Division of the labelled trials into training and validation, always by source video, and by subject where trials.csv names
    subjects. Fold 0 is the official division."""

    scheme: Literal["official", "lfan", "grouped"] = "lfan"
    """How many folds there are and how they are cut.
    - official: the organisers' division only
    - lfan: the six folds of the LFAN paper
    - grouped: `count` folds of whole videos, shuffled by `seed`; the videos of all tasks are divided together"""

    count: Annotated[int, Field(ge=2)] = 6
    """Number of folds of the scheme `grouped`."""

    seed: Seed = 0
    """Seed of the shuffling of the scheme `grouped`."""

    allow_shared_videos: bool = False
    """Train even if a fold validates on a video, or a subject, that it also trains on, for example on its other person. Scores are then not
    those of unseen videos."""


class Faces(Section):
    """Where faces come from and which of them a trial shows."""

    renamed: ClassVar[Mapping[str, str]] = {"together": "single_pass"}

    source: Literal["detect", "official", "tsav"] = "detect"
    """Where face crops come from.
    - detect: find faces in the videos
    - official: take the organisers' cropped_aligned images, M3T's tracks, or the arrays of LFAN's preprocessed folder
    - tsav: cut the videos by the alignments that TSAV's authors published"""

    official_root: Text | None = None
    """Folder that holds `cropped_aligned/<trial>/00001.jpg` … (and `cropped/` for the template cnu224), or M3T's `face_256/`, for the
    source `official`; folder of TSAV's unpacked alignment archive, for the source `tsav`."""

    backend: Literal["retinaface", "dlib"] = "retinaface"
    """Face detector.
    - retinaface: an insightface model pack or a RetinaFace/SCRFD model in ONNX format
    - dlib: comes with its weights, nothing to download"""

    model: Text = "buffalo_l"
    """Model of the detector. retinaface: buffalo_l, buffalo_m, buffalo_s, antelopev2 or the path of an .onnx file; dlib: hog or cnn."""

    options: dict[str, Any] = Field(default={}, validate_default=True)
    """Options of the detector, which depend on `backend`; docs/configuration.md lists them."""

    tracking: TrackingOptions = TrackingOptions()
    """How detections become tracks, and how their gaps are filled."""

    overrides: Text | None = None
    """CSV file that says which person a trial shows, where the rules are wrong; see docs/faces.md."""

    single_pass: (
        bool
        | Annotated[tuple[Annotated[str, one_of(lambda: [*templates.names(), SHEETS])], ...], AfterValidator(distinct)]
    ) = False
    """Crops that one job makes in one pass over the video: far fewer jobs, but one more template makes all of them again.
    - false: one job for each template and trial
    - true: one job for all face crops and the contact sheet that this run needs, one for all scene crops
    - a list: these templates; `sheets` stands for the contact sheets"""

    @field_validator("model")
    @classmethod
    def _model_of_backend(cls, model: str, info: ValidationInfo) -> str:
        if info.data.get("backend") == "dlib" and model not in DLIB_MODELS:
            raise ValueError(f"{shown(model)} is not possible{nearest(model, DLIB_MODELS)}")
        return model

    @field_validator("options")
    @classmethod
    def _options_of_backend(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return completed(DETECTORS[info.data["backend"]], options) if "backend" in info.data else options


class OnnxNetwork(Section):
    """How an ONNX encoder takes its images, (n, 3, size, size), and which of its outputs is the vector."""

    size: Positive
    """Pixels of a side."""

    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the channels."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """What is subtracted from values in [0, 1], in the order of `channels`."""

    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        0.229,
        0.224,
        0.225,
    )
    """What they are divided by."""

    output: Text | None = None
    """Name of the output; null for a file with one output."""


class Embedding(Section):
    """Vectors of a frozen image network, computed once for all folds."""

    network: Literal[
        "hog",
        "aligned_hog",
        "landmarks",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "vggface_resnet50",
        "enet_b0_8_va_mtl",
        "mbf_va_mtl",
        "onnx",
    ]
    """Network; the vectors are the input of its last layer (of vggface_resnet50 also its seven probabilities).
    hog: no network but histograms of oriented gradients, a plain description of a face that needs no weights.
    aligned_hog, landmarks: the same of the face aligned by dlib's 68 landmarks, and these landmarks.
    onnx: any network in an ONNX file; the vectors are one of its outputs."""

    weights: Text | None = None
    """Weights: a name in models.yaml, a file, or `seeded` for an untrained network; null for hog, aligned_hog and landmarks."""

    crops: Text
    """Crop template of the images that the network gets."""

    onnx: OnnxNetwork | None = None
    """For the network `onnx`: how it takes its images."""

    @model_validator(mode="after")
    def _as_the_network_needs(self) -> "Embedding":
        possible = IMAGE_NETWORKS[self.network]
        if possible and self.weights is None:
            raise ValueError("'weights' is missing")
        if not possible and self.weights is not None:
            raise ValueError(f"{self.network} has no weights: leave out 'weights'")
        if self.weights == SEEDED and SEEDED not in possible:
            raise ValueError(f"{self.network} is in its file, so 'weights' cannot be {SEEDED}; name the file")
        if (self.network == "onnx") != (self.onnx is not None):
            raise ValueError(
                "'onnx' is missing: say how the file takes its images"
                if self.onnx is None
                else f"'onnx' is for the network onnx, not for {self.network}: leave it out"
            )
        return self


class AudioEmbedding(Section):
    """Vectors of a frozen network of speech, computed once for all folds."""

    network: Annotated[str, one_of(lambda: SPEECH_NETWORKS)]
    """Network, by the name of its function in torchaudio.models: wav2vec2_base, wav2vec2_large, wav2vec2_large_lv60k, wav2vec2_xlsr_300m,
    hubert_base, hubert_large, hubert_xlarge, wavlm_base or wavlm_large."""

    weights: Text
    """Weights: a name in models.yaml, a file, or `seeded` for an untrained network."""

    layers: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(distinct)]
    """Layers whose outputs are taken, counted from 1."""

    combine: Literal["mean", "concatenate"] = "mean"
    """How several layers become one vector.
    - mean: their mean
    - concatenate: one after the other, so that the first layer of what is trained weighs them; as many times the columns"""

    @model_validator(mode="after")
    def _layers_of_the_network(self) -> "AudioEmbedding":
        if max(self.layers) > (count := SPEECH_NETWORKS[self.network]):
            raise ValueError(f"'layers': {self.network} has {count} layers")
        return self


class Bodies(Section):
    """Where the body of each trial's person comes from, see docs/features.md."""

    source: Literal["keypoint_rcnn", "openpose", "face_box"]
    """How bodies are found.
    - keypoint_rcnn: torchvision's detector
    - openpose: files that OpenPose wrote
    - face_box: guessed from the face box, where there is neither"""

    path: Text | None = None
    """keypoint_rcnn: weights, a name in models.yaml or a file; openpose: folder of one video's files, with {video} in its name."""

    first_frame: Natural = 0
    """Index of the first frame in OpenPose's file names."""

    person: Literal["face", "first"] = "face"
    """Which of several people a trial shows.
    - face: the one whose head is at the trial's face
    - first: the first that OpenPose lists, as in the code published with NTUA"""

    @model_validator(mode="after")
    def _path_where_needed(self) -> "Bodies":
        if self.path is None and self.source != "face_box":
            raise ValueError(f"'path' is missing: {type(self).model_fields['path'].description}")
        return self


class Features(Section):
    """What is computed from the audio or taken from elsewhere. Systems say which features they need."""

    renamed: ClassVar[Mapping[str, str]] = {"together": "single_pass"}

    vggish_weights: Text = "vggish"
    """Weights of VGGish: a name in models.yaml, a file, or `seeded` for an untrained network, which the report says."""

    vggish_pca: Text = "vggish_pca"
    """Principal components of VGGish, likewise; needed by the feature vggish128_quantised only."""

    single_pass: bool | Annotated[tuple[Annotated[str, one_of(lambda: FEATURES)], ...], AfterValidator(distinct)] = (
        False
    )
    """Audio features that one job per video computes: far fewer jobs, but one more feature makes all of them again.
    - false: one job for each feature and video
    - true: one job for all that this run needs
    - a list: these features"""

    imports: dict[Name, Import] = Field(
        default={},
        alias="import",
        examples=[{"senet": {"path": "external/senet/{trial}.npy", "columns": 512, "missing": "hold"}}],
    )
    """Features computed elsewhere, by name; a system knows one as `import.<name>`."""

    embeddings: dict[Name, Embedding] = Field(
        default={}, examples=[{"face50": {"network": "resnet50", "weights": "resnet50", "crops": "cnu224"}}]
    )
    """Vectors of frozen image networks, by name; a system knows them as `embed.<name>`."""

    audio_embeddings: dict[Name, AudioEmbedding] = Field(
        default={},
        examples=[{"wavlm": {"network": "wavlm_base", "weights": "models/wavlm_base.pth", "layers": [8, 10]}}],
    )
    """Vectors of frozen networks of speech, by name; a system knows them as `audio_embed.<name>`."""

    bodies: Bodies | None = Field(
        default=None,
        examples=[
            {"source": "keypoint_rcnn", "path": "weights.pth"},
            {"source": "openpose", "path": "openpose/{video}/json"},
            {"source": "face_box"},
        ],
    )
    """Where the body of each trial's person comes from; null: no bodies."""


Precision = Literal["float32", "tf32", "bf16", "float16"]


class Training(Section):
    """How all systems are trained. A change of anything but `cache_mib` trains again."""

    seed: Seed = 0
    """Seed of initial weights, sampling and augmentation."""

    precision: Precision = "float32"
    """Numeric precision.
    - float32: of all values
    - tf32: factors of products are rounded to 10 bits, GPUs only
    - bf16: products in bfloat16 (8 bits), weights and losses in float32
    - float16: products in float16 with scaled gradients, for GPUs without bfloat16"""

    deterministic: bool = True
    """Use only GPU kernels that give the same values every time, instead of the fastest ones."""

    compile: bool = False
    """Let torch.compile write kernels for the networks; it needs a C++ compiler and, for GPUs, triton."""

    block: Annotated[int, Field(ge=1)] = 1
    """Neighbouring samples that are read together and stay together when samples are shuffled; 1: each by itself, as published. With 64,
    TSAV decodes 1.7 images for a clip instead of 8, but its batches are less varied."""

    cache_mib: Annotated[int, Field(ge=0)] = 4096
    """MiB of decoded images that each training and prediction keeps in memory, for all its processes together, trainings of TSAV also of
    spectrograms, which come first; trials that do not fit are read anew each time. It changes no result."""


class Prediction(Section):
    """How trained systems are run. A change predicts again."""

    precision: Precision = "float32"
    """As `training.precision`."""

    batch: Annotated[int, Field(ge=1)] | None = None
    """Samples per batch, whatever the system; null: as in its training. It changes speed and memory, and values by rounding only."""


class Fusion(Section):
    """How the test predictions of several folds become one."""

    method: Literal["mean", "ccc_centring", "ccc_centring_published"] | None = None
    """Rule of fusion; null: centring where only valence and arousal are predicted (as published in faithful mode), else mean.
    - mean: the mean of the folds
    - ccc_centring: the folds are first moved to a common mean, weighted by their mutual CCC, if it lies among their means (LFAN)
    - ccc_centring_published: to that mean wherever it lies; folds that disagree can move it far away"""

    clip: Literal["early", "late", "none"] = "late"
    """Limit valence and arousal to [-1, 1].
    - early: each fold before fusion
    - late: the result
    - none: not at all"""


class Smoothing(Section):
    """Filter over time, trial by trial, of what is scored and submitted; the unsmoothed predictions are kept."""

    method: Literal["none", "wiener", "median", "savitzky_golay"] = "none"
    """Filter."""

    window: int | tuple[int, ...] = 13
    """Odd number of frames; of a list the window with the best validation score on the other folds is taken, never on test data."""

    edges: Literal["nearest", "zero"] = "nearest"
    """What lies beyond both ends of a trial.
    - nearest: the end values
    - zero: zeros, which pull the ends towards 0 (as in M3T)"""


class System(Section):
    """One system. These keys are the same for all systems; each has a recipe of its own."""

    variants: (
        Literal["all"]
        | Annotated[Names, Field(min_length=1)]
        | Annotated[dict[Name, Variant | Literal[False] | None], Field(min_length=1)]
    ) = Field(
        default="all",
        examples=[
            ["unimodal", "multimodal"],
            {"unimodal": {}, "second": {"base": "unimodal", "seed": 1, "learning_rate": 1e-4}},
        ],
    )
    """What to run: published variants, or a block of names, of which each stands for a published variant with a recipe of its own;
    `name: false` leaves one out."""

    targets: Literal["all"] | Annotated[Names, Field(min_length=1)] = "all"
    """What to train for, such as [valence, arousal]; one model for each."""

    folds: Literal["all"] | Annotated[tuple[Natural, ...], Field(min_length=1), AfterValidator(distinct)] = "all"
    """Folds to run, such as [0]."""

    mode: str = "corrected"
    """What becomes of the documented bugs of the published code.
    - corrected: they are repaired
    - faithful: they are kept, for parity"""

    trained: Text | None = None
    """Predict with these weights instead of training: the runs folder of earlier results, or one weights file. A system that comes trained
    has its own: null takes them from `models_dir` or from the package that brings them."""

    accept_inputs: Names = ()
    """Differences between the inputs that the weights were trained on and those here that are known not to matter, such as
    [faces.model, faces.options.threshold]; a name stands for all that begin with it. Any other difference is refused, which names it."""

    fusion: Fusion = Fusion()
    """How the test predictions of several folds become one."""

    smoothing: Smoothing = Smoothing()
    """Filter over time of what is scored and submitted."""

    recipe: dict[str, Any] = Field(default={})
    """Differences from the published recipe; docs/reference has a page of keys for each system."""


Fused = Literal["va", "valence", "arousal", "expr", "au", "mtl"]


class Ensemble(Section):
    """A fusion of several variants; it is scored, submitted and reported like a variant."""

    members: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Variants of this run as system/variant, or one of their targets as system/variant/target."""

    target: Fused = "va"
    """What is fused."""

    method: Literal["mean", "weighted", "ccc_centring", "ccc_centring_published", "best"] = "mean"
    """Rule of fusion; centring is for valence and arousal. `best` fuses nothing: in each fold it takes the member that scores best on the
    held-out trials of all other folds (first of `score.editions` that fits), for test trials of all folds."""

    weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """One weight for each member, for the method `weighted`."""

    clip: Literal["early", "late", "none"] = "late"
    """Limit valence and arousal to [-1, 1]: early for every member before fusion, late for the result."""

    smoothing: Smoothing = Smoothing()
    """Filter over time of what is scored and submitted."""


class Score(Section):
    """How predictions are scored."""

    editions: Editions = ("abaw2",)
    """Editions of the challenge whose formulas are used."""

    bootstrap: Natural = 0
    """Resamples of whole videos for 95 % confidence intervals; 0: no intervals."""

    compare: Natural = 0
    """Resamples of whole videos, the same for both, by which every pair of variants is compared (scores/comparisons.csv and the report); 0:
    no comparisons."""

    ensembles: dict[Name, Ensemble] = Field(
        default={}, examples=[{"both": {"members": ["lfan/unimodal", "lfan/multimodal"], "target": "va"}}]
    )
    """Fusions of several variants, by name, each scored and submitted like a variant `ensemble/<name>`; see docs/scoring.md."""


class Submission(Section):
    """Files for the organisers."""

    editions: Editions = ("abaw2",)
    """Editions of the challenge whose file formats are written; []: none."""

    samples: dict[Annotated[str, one_of(tasks)], Text] = Field(default={}, examples=[{"va": "sample.txt"}])
    """The organisers' sample file by task, whose rows are followed; only with a single edition."""

    allow_partial: bool = False
    """Write files even if a test video could not be predicted (the gaps are filled and counted), or weights of a fold are missing."""


class Labels(LabelRules):
    """How annotation files are read, what happens to a trial whose numbers of annotation rows and frames disagree (the audit lists every
    case), and which frames have no label whatever the files say."""

    exclude: Text | None = None
    """CSV file of ranges whose frames have no label in any task: start_s, end_s (seconds from frame 0), trial or video, and perhaps label.
    The pages of the videos write it."""


class Trust(Section):
    """Which frames are trusted: those with a face whose landmarks are of use, within these limits. What was not measured is no reason."""

    max_yaw: Annotated[float, Field(gt=0)] = 45
    """Largest turn of the head to a side, in degrees."""

    max_pitch: Annotated[float, Field(gt=0)] = 35
    """Largest nod of the head, in degrees."""

    min_face_px: Annotated[float, Field(ge=0)] = 32
    """Smallest face, in pixels (root of the area of its box)."""

    min_sharpness: Annotated[float, Field(ge=0)] = 30
    """Least variance of the Laplacian of the face's grey levels; faces in focus have hundreds."""

    min_brightness: Annotated[float, Field(ge=0, le=255)] = 40
    """Least mean grey level of the face."""

    max_brightness: Annotated[float, Field(ge=0, le=255)] = 220
    """Largest mean grey level of the face."""


class Tables(Section):
    """Tables for statistics (`snakemake … tables`), see docs/tables.md."""

    trust: Trust = Trust()

    window_s: Annotated[float, Field(ge=0)] = 10
    """Length of the windows that values are summarised over, in seconds; 0: no windows."""

    speech: bool = True
    """Probability of speech for each frame, and summaries of the turns of speech; needs the package silero-vad."""

    segments: Text | None = None
    """CSV file of segments to be summarised: start_s, end_s, trial or video, and perhaps label."""

    thresholds: dict[Text, tuple[float, ...]] = Field(
        default={}, examples=[{"valence": [0.25, 0.5], "Happiness": [0.7]}]
    )
    """Values above which the time is summed; by default 0 for valence and arousal, 0.5 for all others."""

    baseline: Literal["none", "median", "zscore", "opening"] = "none"
    """Values relative to the person's own, in columns of their own.
    - none: no such columns
    - median: minus the person's median
    - zscore: minus the person's mean, divided by the standard deviation
    - opening: minus the mean of the first `baseline_s` seconds of the person's videos"""

    baseline_s: Annotated[float, Field(gt=0)] = 10
    """Seconds of the baseline `opening`."""


class Report(Section):
    """The report."""

    title: str = "wildaffect"
    """Title of the page."""

    overlays: bool = False
    """Make videos with the faces drawn in, too; `snakemake overlays` makes them in any case."""

    tables: bool = False
    """Write the tables for statistics, too, and show speech and which frames are trusted in the pages of the videos."""


class Configuration(Section):
    """What to analyse and how."""

    results_dir: Text = "results"
    """Folder of everything that is made."""

    corpus: Corpus = Corpus()
    labels: Labels = Labels()
    folds: Folds = Folds()
    faces: Faces = Faces()
    features: Features = Features()

    models_dir: Text = "models"
    """Folder of the model files; `wildaffect models` lists them. No job downloads anything."""

    training: Training = Training()
    prediction: Prediction = Prediction()

    systems: dict[str, Any] | Names = Field(default={})
    """Systems to run, a block for each; `name: false` in a file that is laid over another leaves one out. A list of names runs these
    systems by their defaults, [all] those that are trained here."""

    @field_validator("systems")
    @classmethod
    def _blocks_of_systems(cls, wanted: dict[str, Any] | tuple[str, ...]) -> dict[str, Any]:
        if isinstance(wanted, tuple):
            wanted = dict.fromkeys(trained_here() if wanted == ("all",) else wanted)
        blocks, problems = {}, []
        for name, block in wanted.items():
            if block is not False:
                blocks[name], found = _system(name, block)
                problems += found
        if problems:
            raise Wrong(problems)
        return blocks

    score: Score = Score()
    submission: Submission = Submission()
    tables: Tables = Tables()
    report: Report = Report()

    @model_validator(mode="after")
    def _choices_of_searches(self) -> Self:
        """Each search is an ensemble, too: the best of its variants."""
        ensembles, problems = {**self.score.ensembles}, []
        blocks: Any = self.systems
        for system, block in blocks.items():
            for variant, members in block.pop(SEARCHES, {}).items():
                for target, fused in _fused_targets(system, block, members[0]):
                    name = f"{system}_{variant}_{target}" + (f"_{fused}" if fused != target else "")
                    if name in ensembles:
                        place = ("systems", system, "variants", variant, "search")
                        problems.append((place, f"{name} is the name of an ensemble already"))
                    ensembles[name] = Ensemble(
                        members=tuple(f"{system}/{member}/{target}" for member in members), target=fused, method="best"
                    )
        if problems:
            raise Wrong(problems)
        return self.model_copy(update={"score": self.score.model_copy(update={"ensembles": ensembles})})


def complete_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The complete configuration as plain values; `InputError` with everything that is wrong in ``raw``."""
    return parse(Configuration, raw, "config").plain()


def single_pass(value: bool | Sequence[str], needed: Iterable[str], possible: Iterable[str]) -> list[str]:
    """What one job makes.

    Args:
        value: Of the key ``single_pass``: nothing, all that is needed, or what is named.
        needed: What the run needs.
        possible: What a job with several results can make.

    Returns:
        Names in the order of ``possible``, or as they were given.
    """
    if isinstance(value, bool):
        return [name for name in possible if name in {*needed}] if value else []
    return list(value)


def with_single_passes(
    config: Mapping[str, Any], templates_needed: Sequence[str], features_needed: Sequence[str]
) -> dict[str, Any]:
    """The complete ``config`` with lists of names as ``single_pass`` of faces and features; see `single_pass`."""
    # Contact sheets are always drawn, and crops that are resized need those they are made from.
    sources = templates.resized()
    crops = {*templates_needed, *(sources[name] for name in templates_needed if name in sources), SHEETS, SHEET_SOURCE}
    faces = single_pass(config["faces"]["single_pass"], crops, [SHEETS, *templates.names()])
    features = single_pass(config["features"]["single_pass"], features_needed, FEATURES)
    return {
        **config,
        "faces": {**config["faces"], "single_pass": faces},
        "features": {**config["features"], "single_pass": features},
    }


SEARCHES = "searches"
"""Key of a completed block until its searches have become ensembles: variants by the one that stands for them."""


def _fused_targets(system: str, block: Mapping[str, Any], variant: str) -> list[tuple[str, Fused]]:
    """Targets of a variant, each with what can be fused of it: itself, or tasks that it is made of."""
    spec = systems.spec(system)
    known = spec.targets_of(block["variants"][variant]["base"])
    tasks: tuple[Fused, ...] = ("va", "expr", "au")
    found: list[tuple[str, Fused]] = []
    for target in (name for name in block["targets"] if name in known):
        columns = spec.targets[target].columns
        single: list[Fused] = [fused for fused in get_args(Fused) if fused == target and target_columns(fused, columns)]
        covered = [fused for fused in tasks if target_columns(fused, columns)]
        found += [(target, fused) for fused in single or covered]
    return found


def _system(name: str, block: Any) -> tuple[dict[str, Any], list[Problem]]:
    """The completed block of one system, and what is wrong with it.

    Of the recipe it holds what was asked for: weights that are given come with the recipe that they were trained by.
    """
    if name not in systems.available():
        return {}, [((), f"unknown system {name!r}{nearest(name, systems.available())}")]
    block = {} if block is None else block
    if not isinstance(block, Mapping):
        return {}, [((name,), f"{shown(block)} where a block of keys is expected. {COMMAND_LINE}")]
    spec = systems.spec(name)
    system, problems = check(System, block)
    problems += [(("recipe", *path), line) for path, line in check(spec.settings, block.get("recipe", {}))[1]]
    values = system.plain() if system else {}
    if system:
        problems += _choose(values, spec)
    return values, [((name, *path), line) for path, line in problems]


def _choose(values: dict[str, Any], spec: Spec) -> list[Problem]:
    """Fill in what the block ``values`` of a system leaves to it; what it does not offer."""
    problems: list[Problem] = []
    if isinstance(values["variants"], dict):
        values["variants"], values[SEARCHES], problems = _variants(values, spec)
    for key, known in (("variants", spec.variants), ("targets", tuple(spec.targets))):
        if isinstance(values[key], dict):
            continue
        if values[key] == "all":
            values[key] = [name for name in known if name not in spec.on_request]
        for index, chosen in enumerate(values[key]):
            if chosen not in known:
                problems.append(((key, index), f"{shown(chosen)} is not possible{nearest(chosen, known)}"))
    if values["mode"] not in spec.modes:
        problems.append((("mode",), f"{shown(values['mode'])} is not possible{nearest(values['mode'], spec.modes)}"))
    predicted = {column for name in values["targets"] if name in spec.targets for column in spec.targets[name].columns}
    centring, fusion = predicted <= {*VALENCE_AROUSAL}, values["fusion"]
    if fusion["method"] is None:
        published = "ccc_centring_published" if values["mode"] == "faithful" else "ccc_centring"
        fusion["method"] = published if centring else "mean"
    elif fusion["method"] != "mean" and not centring:
        problems.append(
            (("fusion", "method"), f"{fusion['method']} is defined for valence and arousal alone; use mean")
        )
    return problems


def _variants(values: Mapping[str, Any], spec: Spec) -> tuple[dict[str, Any], dict[str, list[str]], list[Problem]]:
    """The completed variants that the block ``values`` of a system names, those of each search, and what is wrong with them."""
    variants: dict[str, Any] = {}
    searches: dict[str, list[str]] = {}
    problems: list[Problem] = []
    of_system = check(spec.settings, values["recipe"])[1]
    for name, block in values["variants"].items():
        if block is False:
            continue
        own = {**(block or Variant().plain())}
        base = own["base"] or name
        if base not in spec.variants:
            known = nearest(base, spec.variants)
            missing = f"is no published variant{known}. 'base' says which one it is"
            problems.append(
                (("variants", name, "base"), f"{shown(base)} is not possible{known}")
                if own["base"]
                else (("variants", name), missing)
            )
        elif spec.trained and (base != name or own.get("seeds") or own.get("search")):
            missing = "comes trained: a variant of another name would predict the same. Use its own names"
            problems.append((("variants", name), missing))
        elif base != name and name in spec.variants:
            problems.append(
                (
                    ("variants", name, "base"),
                    f"{name} is a published variant itself; give the one of {base} another name",
                )
            )
        seeds, search = own.pop("seeds", None), own.pop("search", None)
        if seeds is not None and own["seed"] is not None:
            problems.append((("variants", name, "seeds"), "there is 'seed' too; name one of them"))
        if seeds is not None and search is not None:
            problems.append((("variants", name, "search"), "there is 'seeds' too; name one of them"))
        if wrong := _unsearchable(search or {}):
            problems.append((("variants", name, "search", wrong), "is no key of the recipe, or another is below it"))
            continue
        key, repetitions = ("seeds" if search is None else "search"), _repeated(name, seeds, search)
        if search is not None:
            searches[name] = [*repetitions]
        for repeated, changed in repetitions.items():
            if repeated in variants or (repeated != name and repeated in values["variants"]):
                problems.append((("variants", name, key), f"{repeated} is the name of another variant"))
            variants[repeated] = laid_over({**own, "base": base}, changed)
            found = check(spec.settings, laid_over(values["recipe"], recipe_values(variants[repeated])))[1]
            problems += [(("variants", name, *path), line) for path, line in found if (path, line) not in of_system]
    if not variants:
        problems.append((("variants",), "no variant is left"))
    return variants, searches, list(dict.fromkeys(problems))


def _unsearchable(search: Mapping[str, Any]) -> str | None:
    """The first key that is one of all variants, or a section that another key lies in."""
    return next((k for k in search if k in Variant.model_fields or any(o.startswith(f"{k}.") for o in search)), None)


def _repeated(
    name: str, seeds: Sequence[int] | None, search: Mapping[str, Sequence[Any]] | None
) -> dict[str, dict[str, Any]]:
    """The variants that one stands for, each with what it has of its own."""
    if search is not None:
        grid = [dict(zip(search, values, strict=True)) for values in product(*search.values())]
        return {f"{name}_search{number}": _nested(point) for number, point in enumerate(grid)}
    return {name: {}} if seeds is None else {f"{name}_seed{each}": {"seed": each} for each in seeds}


def _nested(point: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a recipe by sections, of values by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in point.items():
        *sections, last = key.split(".")
        inner = reduce(lambda section, part: section.setdefault(part, {}), sections, found)
        inner[last] = value
    return found
