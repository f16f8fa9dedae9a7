TABLE_SETTINGS = PLAN.config["tables"]


rule measure_quality:
    """Measure what decides whether the frames of one trial can be trusted."""
    input:
        crops=at(paths.CROPS, template=crop_templates.SHEET_SOURCE),
        persons=lambda wildcards: at(paths.PERSONS, video=PLAN.corpus.video_of[wildcards.trial]),
        frames=lambda wildcards: at(paths.FRAMES, video=PLAN.corpus.video_of[wildcards.trial]),
    output:
        quality=at(paths.QUALITY),
    log:
        "<results>/logs/measure_quality/{trial}.log",
    benchmark:
        "<results>/benchmarks/measure_quality/{trial}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        code=code_of("measure_quality.py"),
    script:
        "../../scripts/measure_quality.py"


rule write_tables:
    """Write the values of all trials as tables for statistics, with a dictionary of their columns."""
    input:
        trials=at(paths.TRIALS),
        predictions=PLAN.outputs.held_out(),
        frames=PLAN.inputs.corpus_lists("frames"),
        persons=PLAN.inputs.corpus_lists("persons"),
        quality=PLAN.inputs.corpus_lists("quality"),
        speech=PLAN.inputs.corpus_lists("features.speech") if TABLE_SETTINGS["speech"] else [],
        given=given([TABLE_SETTINGS["segments"]] if TABLE_SETTINGS["segments"] else []),
    output:
        frames=directory(at(paths.TABLES_FRAMES)),
        videos=report(at(paths.TABLES_VIDEOS), category="Tables"),
        segments=report(at(paths.TABLES_SEGMENTS), category="Tables"),
        text=at(paths.TABLES_TEXT),
        data=at(paths.TABLES_DATA),
    log:
        "<results>/logs/write_tables.log",
    benchmark:
        "<results>/benchmarks/write_tables.jsonl"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        code=code_of("write_tables.py"),
        tables=without(TABLE_SETTINGS, "segments"),
        subjects={trial.trial: trial.subject for trial in PLAN.corpus.trials if trial.subject},
    script:
        "../../scripts/write_tables.py"


rule tables:
    input:
        rules.write_tables.output,
    localrule: True
