rule score_predictions:
    """Score all held-out predictions by the rules of every edition asked for."""
    input:
        predictions=PLAN.prediction_paths("validation"),
        folds="<results>/corpus/folds.parquet",
        labels=expand("<results>/labels/{task}.parquet", task=PLAN.labelled_tasks()),
    output:
        scores="<results>/scores/scores.csv",
        trials="<results>/scores/trials.csv",
    log:
        "<results>/logs/score_predictions.log",
    benchmark:
        "<results>/benchmarks/score_predictions.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        code=code_fingerprint("score_predictions.py"),
        editions=PLAN.config["score"]["editions"],
    script:
        "../../scripts/score_predictions.py"


rule write_submission:
    """Write the fused test predictions in the organisers' format."""
    input:
        predictions=lambda wildcards: PLAN.submission_predictions(wildcards.system, wildcards.variant, wildcards.task),
        trials="<results>/corpus/trials.parquet",
        frames=lambda wildcards: PLAN.frames_of(wildcards.task, "test"),
    output:
        folder=directory("<results>/submissions/{edition}/{system}/{variant}/{task}"),
        about="<results>/submissions/{edition}/{system}/{variant}/{task}.json",
    log:
        "<results>/logs/write_submission/{edition}/{system}/{variant}/{task}.log",
    benchmark:
        "<results>/benchmarks/write_submission/{edition}/{system}/{variant}/{task}.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        code=code_fingerprint("write_submission.py"),
        allow_partial=PLAN.config["submission"]["allow_partial"],
    script:
        "../../scripts/write_submission.py"


rule export_csv:
    """One CSV per predicted trial, for people without a Parquet reader."""
    input:
        predictions=lambda wildcards: PLAN.ensemble_paths(wildcards.system, wildcards.variant),
    output:
        folder=directory("<results>/exports/{system}/{variant}"),
    log:
        "<results>/logs/export_csv/{system}/{variant}.log",
    benchmark:
        "<results>/benchmarks/export_csv/{system}/{variant}.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        code=code_fingerprint("export_csv.py"),
    script:
        "../../scripts/export_csv.py"


rule scores:
    input:
        PLAN.score_paths(),
    localrule: True


rule submissions:
    input:
        PLAN.submission_paths(),
    localrule: True


rule exports:
    input:
        PLAN.export_paths(),
    localrule: True
