rule render_demo_video:
    """Render one video of the demo corpus."""
    output:
        video=at(paths.DEMO_VIDEO),
    log:
        "<results>/logs/render_demo_video/{file}.log",
    benchmark:
        "<results>/benchmarks/render_demo_video/{file}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        **PLAN.config["corpus"]["demo"],
        code=code_of("render_demo_video.py"),
    script:
        "../../scripts/render_demo_video.py"


rule write_demo_annotations:
    """Write the labels that drive the rendering, in the layout of Aff-Wild2."""
    output:
        annotations=PLAN.raw.demo_annotations(),
    log:
        "<results>/logs/write_demo_annotations.log",
    benchmark:
        "<results>/benchmarks/write_demo_annotations.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(5),
    params:
        **PLAN.config["corpus"]["demo"],
        code=code_of("write_demo_annotations.py"),
        root=subpath(output[0], ancestor=4),
    script:
        "../../scripts/write_demo_annotations.py"


rule list_trials:
    """Write the table of trials and the folds."""
    output:
        trials=at(paths.TRIALS),
        folds=at(paths.FOLDS),
    log:
        "<results>/logs/list_trials.log",
    benchmark:
        "<results>/benchmarks/list_trials.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(5),
    params:
        code=code_of("list_trials.py"),
        corpus=unrecorded(PLAN.raw.corpus_settings()),
        folds=PLAN.config["folds"],
        found=PLAN.raw.corpus_hash(),
    script:
        "../../scripts/list_trials.py"


rule list_members:
    """Write down which trials the trainings for certain tasks on one fold read, apart from all others."""
    output:
        trials=at(paths.FOLD_TRIALS),
        folds=at(paths.FOLD_ROWS),
    log:
        "<results>/logs/list_members/{tasks}/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/list_members/{tasks}/fold{fold}.jsonl"
    wildcard_constraints:
        tasks=r"(va|expr|au)(_(va|expr|au))*",
    localrule: True
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=5,
    params:
        code=code_of("list_members.py"),
        trials=lambda wildcards: PLAN.folds.trial_rows(wildcards.tasks.split("_"), int(wildcards.fold)),
        folds=lambda wildcards: PLAN.folds.fold_rows(wildcards.tasks.split("_"), int(wildcards.fold)),
    script:
        "../../scripts/list_members.py"


rule join_labels:
    """Join the annotation rows of one task to the decoded frames."""
    input:
        annotations=lambda wildcards: given(PLAN.raw.annotation_files(wildcards.task)),
        frames=lambda wildcards: PLAN.raw.annotated_frames(wildcards.task),
    output:
        labels=at(paths.LABELS),
    log:
        "<results>/logs/join_labels/{task}.log",
    benchmark:
        "<results>/benchmarks/join_labels/{task}.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(20),
    params:
        code=code_of("join_labels.py"),
        root=unrecorded(PLAN.raw.annotations()),
        rules=without(PLAN.config["labels"], "exclude"),
        excluded=lambda wildcards: PLAN.raw.excluded(wildcards.task),
        classes=PLAN.raw.classes(),
        trials=lambda wildcards: PLAN.raw.annotated_rows(wildcards.task),
    script:
        "../../scripts/join_labels.py"


rule audit_corpus:
    """List every anomaly of the corpus: one line each."""
    input:
        trials=at(paths.TRIALS),
        folds=at(paths.FOLDS),
        frames=PLAN.inputs.corpus_lists("frames"),
        audio=PLAN.inputs.corpus_lists("audio"),
        persons=PLAN.inputs.corpus_lists("persons"),
        labels=expand(at(paths.LABELS), task=PLAN.corpus.labelled_tasks()),
    output:
        audit=report(at(paths.AUDIT), category="Audit"),
    log:
        "<results>/logs/audit_corpus.log",
    benchmark:
        "<results>/benchmarks/audit_corpus.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(10),
    params:
        code=code_of("audit_corpus.py"),
    script:
        "../../scripts/audit_corpus.py"


rule corpus:
    input:
        at(paths.TRIALS),
        at(paths.FOLDS),
        expand(at(paths.LABELS), task=PLAN.corpus.labelled_tasks()),
    localrule: True
