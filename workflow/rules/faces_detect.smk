include: "faces_cut.smk"


rule detect_faces:
    """Find every face of every frame."""
    input:
        video=lambda wildcards: raw_video(wildcards.video),
        frames=at(paths.FRAMES),
        model=given(detector_files(PLAN.config)),
    output:
        detections=at(paths.DETECTIONS),
    log:
        "<results>/logs/detect_faces/{video}.log",
    benchmark:
        "<results>/benchmarks/detect_faces/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=60,
        gpu=0,
        serial=1,
    params:
        code=code_of("detect_faces.py", [f"wildaffect.faces.detectors.{PLAN.config['faces']['backend']}"]),
        backend=PLAN.config["faces"]["backend"],
        variant=None if detector_files(PLAN.config) else PLAN.config["faces"]["model"],
        model=unrecorded(PLAN.config["faces"]["model"]),
        models_dir=unrecorded(PLAN.config["models_dir"]),
        options=PLAN.config["faces"]["options"],
    script:
        "../../scripts/detect_faces.py"


rule assign_persons:
    """Follow faces over time and decide which one each trial shows."""
    input:
        detections=at(paths.DETECTIONS),
        frames=at(paths.FRAMES),
        overrides=given(PLAN.config["faces"]["overrides"] or []),
    output:
        persons=at(paths.PERSONS),
    log:
        "<results>/logs/assign_persons/{video}.log",
    benchmark:
        "<results>/benchmarks/assign_persons/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=10,
        serial=1,
    params:
        code=code_of("assign_persons.py"),
        trials=lambda wildcards: PLAN.corpus.of_video(wildcards.video),
        options=PLAN.config["faces"]["tracking"],
    script:
        "../../scripts/assign_persons.py"
