# What the pages of the videos show besides, where tables are a part of the run.
SHOWN_TABLES = PLAN.config["report"]["tables"]


rule build_report:
    """Write the report: an overview, and a page for each video."""
    input:
        trials=at(paths.TRIALS),
        audit=at(paths.AUDIT),
        frames=PLAN.inputs.corpus_lists("frames"),
        audio=PLAN.inputs.corpus_lists("audio"),
        detections=expand(at(paths.DETECTIONS), video=VIDEOS),
        persons=PLAN.inputs.corpus_lists("persons"),
        sheets=expand(at(paths.SHEET), trial=TRIALS),
        abouts=expand(at(paths.ABOUT), feature=PLAN.inputs.features()),
        labels=expand(at(paths.LABELS), task=PLAN.corpus.labelled_tasks()),
        runs=[PLAN.runs.file(instance, paths.RUN) for instance in PLAN.runs.trainings()],
        histories=[PLAN.runs.file(instance, paths.HISTORY) for instance in PLAN.runs.trainings()],
        predictions=PLAN.predictions(),
        ensembles=PLAN.outputs.tests(),
        quality=PLAN.inputs.corpus_lists("quality") if SHOWN_TABLES else [],
        speech=PLAN.inputs.corpus_lists("features.speech") if SHOWN_TABLES and TABLE_SETTINGS["speech"] else [],
        scores=PLAN.outputs.scores()[:1],
        trial_scores=PLAN.outputs.scores()[1:],
        comparisons=PLAN.outputs.comparisons(),
    output:
        page=report(at(paths.REPORT), category="Page"),
        shared=expand(at(paths.REPORT_SHARED), file=["viewer.js", "viewer.css"]),
        videos=directory(at(paths.REPORT_VIDEOS)),
    log:
        "<results>/logs/build_report.log",
    benchmark:
        "<results>/benchmarks/build_report.jsonl"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(20),
    params:
        code=code_of("build_report.py"),
        settings=without_given(PLAN.config),
        config=unrecorded(PLAN.config),
        media=unrecorded({video: PLAN.raw.media_path(video) for video in VIDEOS}),
        groupings=PLAN.corpus.groupings,
        editions=editions.values(PLAN.config["score"]["editions"]),
    script:
        "../../scripts/build_report.py"


rule verify_corpus:
    """Last of all: end with an error if the corpus had errors that nobody accepted."""
    input:
        audit=at(paths.AUDIT),
        page=report(at(paths.REPORT), category="Page"),
    output:
        verdict=at(paths.VERDICT),
    log:
        "<results>/logs/verify_corpus.log",
    benchmark:
        "<results>/benchmarks/verify_corpus.jsonl"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(5),
    params:
        accepted=PLAN.config["corpus"]["accept_findings"],
        code=code_of("verify_corpus.py"),
    script:
        "../../scripts/verify_corpus.py"


rule report:
    input:
        at(paths.REPORT),
    localrule: True
