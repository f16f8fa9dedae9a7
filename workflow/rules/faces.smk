RESIZED = crop_templates.resized()

# Only what is cut from the videos' own pixels; the organisers' images are packed one by one.
DETECTED_TOGETHER = TOGETHER if PLAN.config["faces"]["source"] != "official" else []
FACES_TOGETHER = [name for name in DETECTED_TOGETHER if name not in (crop_templates.SHEETS, *crop_templates.scenes())]
SHEETS_TOGETHER = crop_templates.SHEETS in DETECTED_TOGETHER


# Where tables of persons and crops come from: detect_faces, assign_persons and cut_crops, TSAV's alignments, or images that others cut.
include: f"faces_{PLAN.config['faces']['source']}.smk"


rule resize_crops:
    """Make the crops of a template that is resized from another one's."""
    input:
        crops=lambda wildcards: at(paths.CROPS, template=RESIZED[wildcards.template], trial=wildcards.trial),
    output:
        crops=at(paths.CROPS),
    log:
        "<results>/logs/resize_crops/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/resize_crops/{template}/{trial}.jsonl"
    wildcard_constraints:
        template=one_of([name for name in RESIZED if name not in FACES_TOGETHER]),
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=10,
        serial=1,
    params:
        code=code_of("resize_crops.py"),
        template=lambda wildcards: crop_templates.value(wildcards.template),
    script:
        "../../scripts/resize_crops.py"


rule draw_contact_sheet:
    """A page of thumbnails by which a person can check one trial at a glance."""
    input:
        video=lambda wildcards: raw_video(PLAN.corpus.video_of[wildcards.trial]),
        crops=at(paths.CROPS, template=crop_templates.SHEET_SOURCE),
        persons=lambda wildcards: at(paths.PERSONS, video=PLAN.corpus.video_of[wildcards.trial]),
    output:
        sheet=report(at(paths.SHEET), category="Faces", labels={"trial": "{trial}"}),
    log:
        "<results>/logs/draw_contact_sheet/{trial}.log",
    benchmark:
        "<results>/benchmarks/draw_contact_sheet/{trial}.jsonl"
    wildcard_constraints:
        trial=one_of([]) if SHEETS_TOGETHER else r"[^/]+",
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=5,
        serial=1,
    params:
        code=code_of("draw_contact_sheet.py"),
    script:
        "../../scripts/draw_contact_sheet.py"


rule faces:
    """Crops that systems ask for, and those that the section `faces` of the configuration names."""
    input:
        expand(at(paths.CROPS), template=sorted({*PLAN.inputs.templates(), *FACES_TOGETHER}), trial=TRIALS),
        expand(at(paths.SHEET), trial=TRIALS),
    localrule: True
