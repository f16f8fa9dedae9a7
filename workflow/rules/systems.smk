rule list_files:
    """List the files of one kind that a block of trials consists of."""
    input:
        files=lambda wildcards: PLAN.inputs.listed_files(wildcards.kind, wildcards.group),
    output:
        list=at(paths.MANIFEST, group="{group}", kind="{kind}"),
    log:
        "<results>/logs/list_files/{group}/{kind}.log",
    benchmark:
        "<results>/benchmarks/list_files/{group}/{kind}.jsonl"
    wildcard_constraints:
        group=r"[0-9a-f]{16}",
        kind=r"frames|audio|persons|quality|crops\.[a-z0-9_]+|features\.[a-z0-9_.]+",
    localrule: True
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=5,
    params:
        code=code_of("list_files.py"),
    script:
        "../../scripts/list_files.py"


rule train_system:
    """Train one variant of a system for one target on one fold."""
    input:
        unpack(lambda wildcards: PLAN.inputs.training_lists(instance_of(wildcards))),
        trials=lambda wildcards: PLAN.inputs.members(instance_of(wildcards), "trials"),
        folds=lambda wildcards: PLAN.inputs.members(instance_of(wildcards), "folds"),
        labels=lambda wildcards: [at(paths.LABELS, task=task) for task in tasks_of(instance_of(wildcards))],
        initial=lambda wildcards: given(given_values(recipe_of(wildcards))),
    output:
        model=at(paths.MODEL),
        history=at(paths.HISTORY),
        stats=at(paths.STATS),
        run=at(paths.RUN),
    log:
        "<results>/logs/train_system/{system}/{variant}/{target}/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/train_system/{system}/{variant}/{target}/fold{fold}.jsonl"
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(1440),
        gpu=0,
    params:
        code=system_code("train_system.py"),
        package=lambda wildcards: systems.outside_hash(wildcards.system),
        mode=lambda wildcards: PLAN.config["systems"][wildcards.system]["mode"],
        settings=lambda wildcards: without_given(recipe_of(wildcards)),
        recipe=unrecorded(recipe_of),
        base=lambda wildcards: PLAN.inputs.base(instance_of(wildcards)),
        subjects=lambda wildcards: PLAN.inputs.subjects(instance_of(wildcards), "train", "validation"),
        training=lambda wildcards: without(PLAN.inputs.training(instance_of(wildcards)), "cache_mib"),
        cache_mib=unrecorded(PLAN.config["training"]["cache_mib"]),
        origin=unrecorded(lambda wildcards: PLAN.inputs.origin(instance_of(wildcards)).record()),
        state=unrecorded(PLAN.runs.state_folder()),
    script:
        "../../scripts/train_system.py"


rule predict_system:
    """Predict the held-out or the test trials of one instance, a row per decoded frame."""
    input:
        unpack(lambda wildcards: PLAN.inputs.prediction_lists(instance_of(wildcards), wildcards.partition)),
        unpack(lambda wildcards: weights_of(instance_of(wildcards))),
        trials=lambda wildcards: PLAN.inputs.predicted_table(instance_of(wildcards), wildcards.partition),
        labels=lambda wildcards: PLAN.inputs.known_labels(instance_of(wildcards), wildcards.partition),
    output:
        predictions=at(paths.PREDICTIONS, part="fold{fold}"),
    log:
        "<results>/logs/predict_system/{system}/{variant}/{target}/fold{fold}/{partition}.log",
    benchmark:
        "<results>/benchmarks/predict_system/{system}/{variant}/{target}/fold{fold}/{partition}.jsonl"
    wildcard_constraints:
        system=r"(?!ensemble/)[a-z0-9_]+",
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=120,
        gpu=0,
        serial=1,
    params:
        code=system_code("predict_system.py"),
        package=lambda wildcards: systems.outside_hash(wildcards.system),
        names=lambda wildcards: PLAN.folds.trials_of(instance_of(wildcards), wildcards.partition),
        mode=lambda wildcards: PLAN.config["systems"][wildcards.system]["mode"],
        settings=lambda wildcards: without_given(recipe_of(wildcards)),
        recipe=unrecorded(recipe_of),
        origin=unrecorded(lambda wildcards: PLAN.inputs.origin(instance_of(wildcards)).record()),
        base=lambda wildcards: PLAN.inputs.base(instance_of(wildcards)),
        subjects=lambda wildcards: PLAN.inputs.subjects(instance_of(wildcards), wildcards.partition),
        accept=lambda wildcards: PLAN.config["systems"][wildcards.system]["accept_inputs"],
        notes=lambda wildcards: PLAN.runs.notes(instance_of(wildcards)),
        prediction=PLAN.config["prediction"],
        cache_mib=unrecorded(PLAN.config["training"]["cache_mib"]),
        state=unrecorded(prediction_state),
    script:
        "../../scripts/predict_system.py"


rule fuse_folds:
    """Fuse what the folds of an instance say of the test trials."""
    input:
        predictions=lambda wildcards: PLAN.runs.fold_predictions(wildcards.system, wildcards.variant, wildcards.target),
    output:
        predictions=at(paths.PREDICTIONS, part="ensemble", partition="test"),
    log:
        "<results>/logs/fuse_folds/{system}/{variant}/{target}.log",
    benchmark:
        "<results>/benchmarks/fuse_folds/{system}/{variant}/{target}.jsonl"
    wildcard_constraints:
        system=r"(?!ensemble/)[a-z0-9_]+",
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(20),
        serial=1,
    params:
        code=code_of("fuse_folds.py"),
        fusion=lambda wildcards: PLAN.outputs.fusion(wildcards.system, wildcards.variant),
    script:
        "../../scripts/fuse_folds.py"


rule train:
    input:
        [PLAN.runs.file(instance, paths.MODEL) for instance in PLAN.runs.trainings()],
    localrule: True


rule predictions:
    input:
        PLAN.predictions(),
        PLAN.outputs.tests(),
    localrule: True
