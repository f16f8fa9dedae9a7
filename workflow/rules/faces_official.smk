ROOT = PLAN.config["faces"]["official_root"]
IMAGES = official_images(ROOT)


def images_of(trials, template=crop_templates.SHEET_SOURCE):
    """Folders of the images that stand for a template, and the number of the first frame in their names."""
    folders = IMAGES.get(crop_templates.official_kind(template, IMAGES), {})
    return [folders[trial] for trial in trials if trial in folders]


def given_images(*args):
    """The folders that `images_of` finds, or the files in and beside them that hold the images as arrays."""
    return given([str(path) for found in images_of(*args) for path in lfan_archive.files(found.path) or [found.path]])


rule read_official:
    """List in which frames the organisers found each trial's face."""
    input:
        frames=at(paths.FRAMES),
        images=lambda wildcards: given_images(PLAN.corpus.of_video(wildcards.video)),
    output:
        persons=at(paths.PERSONS),
        detections=at(paths.DETECTIONS),
    log:
        "<results>/logs/read_official/{video}.log",
    benchmark:
        "<results>/benchmarks/read_official/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        code=code_of("read_official.py"),
        root=unrecorded(ROOT),
        trials=lambda wildcards: PLAN.corpus.of_video(wildcards.video),
        first=lambda wildcards: [f.first for f in images_of(PLAN.corpus.of_video(wildcards.video))],
    script:
        "../../scripts/read_official.py"


rule pack_official:
    """Put the organisers' images of one trial into one file."""
    input:
        frames=lambda wildcards: at(paths.FRAMES, video=PLAN.corpus.video_of[wildcards.trial]),
        images=lambda wildcards: given_images([wildcards.trial], wildcards.template),
    output:
        crops=at(paths.CROPS),
    log:
        "<results>/logs/pack_official/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/pack_official/{template}/{trial}.jsonl"
    wildcard_constraints:
        template=one_of(crop_templates.official()),
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(20),
        serial=1,
    params:
        code=code_of("pack_official.py"),
        template=lambda wildcards: crop_templates.value(wildcards.template),
        first=lambda wildcards: [f.first for f in images_of([wildcards.trial], wildcards.template)],
        root=unrecorded(ROOT),
    script:
        "../../scripts/pack_official.py"
