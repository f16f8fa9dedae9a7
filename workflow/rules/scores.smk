rule fuse_members:
    """Fuse the members of a declared ensemble: held-out trials fold by fold, test trials after the fusion of folds.

    One of them may be chosen instead, on held-out trials of the other folds; test trials take no part in it.
    """
    input:
        unpack(lambda wildcards: PLAN.outputs.choosing_member(wildcards.variant, wildcards.part)),
        predictions=lambda wildcards: PLAN.outputs.member_predictions(
            wildcards.variant, wildcards.part, wildcards.partition
        ),
    output:
        predictions=at(paths.PREDICTIONS, system="ensemble"),
    log:
        "<results>/logs/fuse_members/{variant}/{target}/{part}/{partition}.log",
    benchmark:
        "<results>/benchmarks/fuse_members/{variant}/{target}/{part}/{partition}.jsonl"
    wildcard_constraints:
        part=r"fold[0-9]+|ensemble",
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(20),
        serial=1,
    params:
        code=code_of("fuse_members.py"),
        members=lambda wildcards: PLAN.outputs.ensembles[wildcards.variant].members,
        columns=lambda wildcards: PLAN.outputs.ensembles[wildcards.variant].predicted.columns,
        fusion=lambda wildcards: PLAN.outputs.fusion("ensemble", wildcards.variant),
        editions=lambda wildcards: editions.values(PLAN.outputs.member_editions(wildcards.variant)),
    script:
        "../../scripts/fuse_members.py"


rule smooth_predictions:
    """Filter predictions over time. A window may be chosen, on held-out trials of the other folds; test trials take no part in it."""
    input:
        unpack(
            lambda wildcards: PLAN.outputs.choosing(
                (wildcards.system, wildcards.variant, wildcards.target), wildcards.part
            )
        ),
        predictions=at(paths.PREDICTIONS),
    output:
        predictions=at(paths.SMOOTHED),
    log:
        "<results>/logs/smooth_predictions/{system}/{variant}/{target}/{part}/{partition}.log",
    benchmark:
        "<results>/benchmarks/smooth_predictions/{system}/{variant}/{target}/{part}/{partition}.jsonl"
    wildcard_constraints:
        part=r"fold[0-9]+|ensemble",
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(20),
        serial=1,
    params:
        code=code_of("smooth_predictions.py"),
        smoothing=lambda wildcards: PLAN.outputs.smoothing(wildcards.system, wildcards.variant),
        editions=lambda wildcards: editions.values(PLAN.outputs.choosing_editions(wildcards.system, wildcards.variant)),
    script:
        "../../scripts/smooth_predictions.py"


rule score_predictions:
    """Score all held-out predictions by the rules of every edition asked for."""
    input:
        predictions=PLAN.outputs.validation(),
        folds=at(paths.FOLDS),
        labels=expand(at(paths.LABELS), task=PLAN.corpus.labelled_tasks()),
    output:
        scores=report(at(paths.SCORES), category="Scores"),
        trials=report(at(paths.TRIAL_SCORES), category="Scores"),
    log:
        "<results>/logs/score_predictions.log",
    benchmark:
        "<results>/benchmarks/score_predictions.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
    params:
        code=code_of("score_predictions.py"),
        editions=editions.values(PLAN.config["score"]["editions"]),
        bootstrap=PLAN.config["score"]["bootstrap"],
    script:
        "../../scripts/score_predictions.py"


rule compare_variants:
    """Compare every pair of variants on the held-out trials that both predict."""
    input:
        predictions=PLAN.outputs.validation(),
        labels=expand(at(paths.LABELS), task=PLAN.corpus.labelled_tasks()),
    output:
        comparisons=report(at(paths.COMPARISONS), category="Scores"),
    log:
        "<results>/logs/compare_variants.log",
    benchmark:
        "<results>/benchmarks/compare_variants.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
    params:
        code=code_of("compare_variants.py"),
        editions=editions.values(PLAN.config["score"]["editions"]),
        resamples=PLAN.config["score"]["compare"],
    script:
        "../../scripts/compare_variants.py"


rule write_submission:
    """Write the fused test predictions in the organisers' format.

    The folder beside the record holds exactly what is sent. It is not declared, because a marker file would be put into it; the record
    lists its files with their hashes.
    """
    input:
        predictions=lambda wildcards: PLAN.submissions.predictions(
            wildcards.edition, wildcards.system, wildcards.variant, wildcards.task
        ),
        trials=at(paths.TRIALS),
        frames=lambda wildcards: PLAN.inputs.submission_lists("frames", wildcards.edition, wildcards.task),
        sample=lambda wildcards: given(PLAN.submissions.sample(wildcards.task)),
    output:
        record=at(paths.SUBMISSION),
    log:
        "<results>/logs/write_submission/{edition}/{system}/{variant}/{task}.log",
    benchmark:
        "<results>/benchmarks/write_submission/{edition}/{system}/{variant}/{task}.jsonl"
    wildcard_constraints:
        task=r"va|expr|au|mtl|compound",
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        code=code_of("write_submission.py"),
        rules=lambda wildcards: task_value(editions.get_task(wildcards.edition, wildcards.task)),
        allow_partial=PLAN.config["submission"]["allow_partial"],
    script:
        "../../scripts/write_submission.py"


rule export_csv:
    """One CSV per predicted trial, for people without a Parquet reader."""
    input:
        predictions=lambda wildcards: PLAN.outputs.tests(wildcards.system, wildcards.variant),
        # Who of several people is there.
        persons=PLAN.inputs.corpus_lists("persons") if PLAN.config["corpus"]["persons"] > 1 else [],
    output:
        folder=directory(at(paths.EXPORTS)),
    log:
        "<results>/logs/export_csv/{system}/{variant}.log",
    benchmark:
        "<results>/benchmarks/export_csv/{system}/{variant}.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        code=code_of("export_csv.py"),
    script:
        "../../scripts/export_csv.py"


rule scores:
    input:
        PLAN.outputs.scores() + PLAN.outputs.comparisons(),
    localrule: True


rule submissions:
    input:
        PLAN.submissions.paths(),
    localrule: True


rule exports:
    input:
        PLAN.outputs.exports(),
    localrule: True
