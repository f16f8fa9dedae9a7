rule detect_faces:
    """Find every face of every frame."""
    input:
        video=lambda wildcards: raw_video(wildcards.video),
        frames="<results>/media/{video}/frames.parquet",
    output:
        detections="<results>/faces/{video}/detections.parquet",
    log:
        "<results>/logs/detect_faces/{video}.log",
    benchmark:
        "<results>/benchmarks/detect_faces/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=0,
        serial=1,
    params:
        code=code_fingerprint("detect_faces.py", [f"wildaffect.faces.detectors.{PLAN.config['faces']['backend']}"]),
        backend=PLAN.config["faces"]["backend"],
        model=PLAN.config["faces"]["model"],
        models_dir=PLAN.config["models_dir"],
        options=PLAN.config["faces"]["options"],
    script:
        "../../scripts/detect_faces.py"


rule assign_persons:
    """Follow faces over time and decide which one each trial shows."""
    input:
        detections="<results>/faces/{video}/detections.parquet",
        frames="<results>/media/{video}/frames.parquet",
        overrides=PLAN.config["faces"]["overrides"] or [],
    output:
        persons="<results>/faces/{video}/persons.parquet",
    log:
        "<results>/logs/assign_persons/{video}.log",
    benchmark:
        "<results>/benchmarks/assign_persons/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
        serial=1,
    params:
        code=code_fingerprint("assign_persons.py"),
        trials=lambda wildcards: PLAN.corpus.of_video(wildcards.video),
        options=PLAN.config["faces"]["tracking"],
    script:
        "../../scripts/assign_persons.py"


rule cut_crops:
    """Cut the aligned face of one trial out of every frame."""
    input:
        video=lambda wildcards: raw_video(PLAN.trial(wildcards.trial).video),
        persons=lambda wildcards: f"<results>/faces/{PLAN.trial(wildcards.trial).video}/persons.parquet",
    output:
        crops="<results>/crops/{template}/{trial}.arrow",
    log:
        "<results>/logs/cut_crops/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/cut_crops/{template}/{trial}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
        serial=1,
    params:
        code=code_fingerprint("cut_crops.py"),
    script:
        "../../scripts/cut_crops.py"


rule draw_contact_sheet:
    """A page of small pictures by which a person can check one trial at a glance."""
    input:
        crops="<results>/crops/arcface112/{trial}.arrow",
        persons=lambda wildcards: f"<results>/faces/{PLAN.trial(wildcards.trial).video}/persons.parquet",
    output:
        sheet="<results>/faces/sheets/{trial}.jpg",
    log:
        "<results>/logs/draw_contact_sheet/{trial}.log",
    benchmark:
        "<results>/benchmarks/draw_contact_sheet/{trial}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
        serial=1,
    params:
        code=code_fingerprint("draw_contact_sheet.py"),
    script:
        "../../scripts/draw_contact_sheet.py"


rule faces:
    input:
        expand("<results>/crops/{template}/{trial}.arrow", template=PLAN.templates(), trial=TRIALS),
        expand("<results>/faces/sheets/{trial}.jpg", trial=TRIALS),
    localrule: True
