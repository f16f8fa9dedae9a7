rule cut_crops:
    """Cut the aligned face of one trial out of every frame."""
    input:
        video=lambda wildcards: raw_video(PLAN.corpus.video_of[wildcards.trial]),
        persons=lambda wildcards: at(paths.PERSONS, video=PLAN.corpus.video_of[wildcards.trial]),
    output:
        crops=at(paths.CROPS),
    log:
        "<results>/logs/cut_crops/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/cut_crops/{template}/{trial}.jsonl"
    wildcard_constraints:
        template=one_of([name for name in crop_templates.cut_from_frames() if name not in TOGETHER]),
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=20,
        serial=1,
    params:
        code=code_of("cut_crops.py"),
        template=lambda wildcards: crop_templates.value(wildcards.template),
    script:
        "../../scripts/cut_crops.py"


if FACES_TOGETHER:

    rule cut_crops_together:
        """Cut several templates in one decoding pass and draw the contact sheet, as the configuration asks."""
        input:
            video=lambda wildcards: raw_video(PLAN.corpus.video_of[wildcards.trial]),
            persons=lambda wildcards: at(paths.PERSONS, video=PLAN.corpus.video_of[wildcards.trial]),
        output:
            crops=[at(paths.CROPS, template=template) for template in FACES_TOGETHER],
            sheet=report([at(paths.SHEET)] if SHEETS_TOGETHER else [], category="Faces", labels={"trial": "{trial}"}),
        log:
            "<results>/logs/cut_crops_together/{trial}.log",
        benchmark:
            "<results>/benchmarks/cut_crops_together/{trial}.jsonl"
        conda:
            "../../envs/faces.yaml"
        threads: 1
        resources:
            mem_mb=scale_with_attempt(2000),
            runtime=40,
            serial=1,
        params:
            code=code_of("cut_crops_together.py"),
            templates=[crop_templates.value(name) for name in FACES_TOGETHER],
            sheet_source=crop_templates.SHEET_SOURCE,
        script:
            "../../scripts/cut_crops_together.py"


# What overlays show besides faces, if they are a part of the run.
SHOWN_PREDICTIONS = PLAN.outputs.held_out() if PLAN.config["report"]["overlays"] else []


rule draw_overlay:
    """A copy of the video with boxes, points, names and predictions drawn in; made only when asked for.

    Tables of predictions change with every video of the corpus. What decides on those of this one is in the other inputs and the params.
    """
    input:
        video=lambda wildcards: raw_video(wildcards.video),
        frames=at(paths.FRAMES),
        audio=at(paths.AUDIO),
        persons=at(paths.PERSONS),
        predictions=ancient(SHOWN_PREDICTIONS),
    output:
        overlay=at(paths.OVERLAY),
    log:
        "<results>/logs/draw_overlay/{video}.log",
    benchmark:
        "<results>/benchmarks/draw_overlay/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(30),
        serial=1,
    params:
        code=code_of("draw_overlay.py"),
        systems=without_given(PLAN.config["systems"]) if SHOWN_PREDICTIONS else {},
    script:
        "../../scripts/draw_overlay.py"


rule overlays:
    input:
        expand(at(paths.OVERLAY), video=VIDEOS),
    localrule: True
