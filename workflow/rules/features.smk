rule extract_features:
    """Compute a feature of one video's audio, a row per decoded frame."""
    input:
        audio=at(paths.AUDIO),
        frames=at(paths.FRAMES),
        weights=lambda wildcards: given(weight_paths([wildcards.feature])),
    output:
        features=[at(paths.FEATURE, owner="{video}")],
        valid=at(paths.VALID, owner="{video}"),
    log:
        "<results>/logs/extract_features/{feature}/{video}.log",
    benchmark:
        "<results>/benchmarks/extract_features/{feature}/{video}.jsonl"
    wildcard_constraints:
        feature=one_of([name for name in FEATURES if name not in SOUNDS_TOGETHER]),
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=30,
        gpu=0,
        serial=1,
    params:
        code=feature_code("extract_features.py"),
        weights=unrecorded(lambda wildcards: weight_file("weights", [wildcards.feature])),
        pca=unrecorded(lambda wildcards: weight_file("pca", [wildcards.feature])),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/extract_features.py"


if SOUNDS_TOGETHER:

    # Several features by one job, as the configuration asks.
    use rule extract_features as extract_features_together with:
        input:
            audio=at(paths.AUDIO),
            frames=at(paths.FRAMES),
            weights=given(weight_paths(SOUNDS_TOGETHER)),
        output:
            features=[at(paths.FEATURE, feature=name, owner="{video}") for name in SOUNDS_TOGETHER],
            valid=[at(paths.VALID, feature=name, owner="{video}") for name in SOUNDS_TOGETHER],
        log:
            "<results>/logs/extract_features_together/{video}.log",
        benchmark:
            "<results>/benchmarks/extract_features_together/{video}.jsonl"
        params:
            code=code_of("extract_features.py", [FEATURES[name].module for name in SOUNDS_TOGETHER]),
            weights=unrecorded(weight_file("weights", SOUNDS_TOGETHER)),
            pca=unrecorded(weight_file("pca", SOUNDS_TOGETHER)),
            models_dir=unrecorded(PLAN.config["models_dir"]),


rule describe_feature:
    """Write down what the columns of a feature are and how they were made."""
    input:
        weights=lambda wildcards: given(weight_paths([wildcards.feature])),
    output:
        about=at(paths.ABOUT),
    log:
        "<results>/logs/describe_feature/{feature}.log",
    benchmark:
        "<results>/benchmarks/describe_feature/{feature}.jsonl"
    wildcard_constraints:
        feature=one_of(FEATURES),
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(5),
        serial=1,
    params:
        code=feature_code("describe_feature.py"),
        weights=unrecorded(lambda wildcards: weight_file("weights", [wildcards.feature])),
        pca=unrecorded(lambda wildcards: weight_file("pca", [wildcards.feature])),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/describe_feature.py"


rule import_feature:
    """Take one trial's vectors that were computed elsewhere, a row per decoded frame."""
    input:
        source=lambda wildcards: given(import_file(wildcards.name, wildcards.trial)),
        kept=lambda wildcards: given(PLAN.config["features"]["import"][wildcards.name]["kept"] or []),
        frames=lambda wildcards: at(paths.FRAMES, video=PLAN.corpus.video_of[wildcards.trial]),
    output:
        feature=at(paths.FEATURE, feature="import.{name}", owner="{trial}"),
        valid=at(paths.VALID, feature="import.{name}", owner="{trial}"),
        report=at(paths.IMPORT_REPORT, feature="import.{name}", owner="{trial}"),
    log:
        "<results>/logs/import_feature/{name}/{trial}.log",
    benchmark:
        "<results>/benchmarks/import_feature/{name}/{trial}.jsonl"
    wildcard_constraints:
        name=one_of(PLAN.config["features"]["import"]),
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        code=code_of("import_feature.py"),
        files=unrecorded(lambda wildcards: import_files(wildcards.name)),
        entry=lambda wildcards: without(PLAN.config["features"]["import"][wildcards.name], "path", "kept"),
        video=lambda wildcards: PLAN.corpus.video_of[wildcards.trial],
    script:
        "../../scripts/import_feature.py"


rule describe_import:
    """Write down what the configuration says of a feature that was computed elsewhere."""
    output:
        about=at(paths.ABOUT, feature="import.{name}"),
    log:
        "<results>/logs/describe_import/{name}.log",
    benchmark:
        "<results>/benchmarks/describe_import/{name}.jsonl"
    wildcard_constraints:
        name=one_of(PLAN.config["features"]["import"]),
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(5),
        serial=1,
    params:
        code=code_of("describe_import.py"),
        files=unrecorded(lambda wildcards: import_files(wildcards.name)),
        entry=lambda wildcards: without(PLAN.config["features"]["import"][wildcards.name], "path", "kept"),
    script:
        "../../scripts/describe_import.py"


rule embed_crops:
    """Run a frozen image network over the crops of one trial."""
    input:
        crops=lambda wildcards: at(paths.CROPS, template=embedding(wildcards)["crops"], trial=wildcards.trial),
        weights=lambda wildcards: given(embedding_weights(wildcards)),
    output:
        feature=at(paths.FEATURE, feature="embed.{name}", owner="{trial}"),
        valid=at(paths.VALID, feature="embed.{name}", owner="{trial}"),
    log:
        "<results>/logs/embed_crops/{name}/{trial}.log",
    benchmark:
        "<results>/benchmarks/embed_crops/{name}/{trial}.jsonl"
    wildcard_constraints:
        name=one_of(PLAN.config["features"]["embeddings"]),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
        gpu=0,
        serial=1,
    params:
        code=code_of("embed_crops.py"),
        entry=lambda wildcards: without(embedding(wildcards), "weights"),
        weights=unrecorded(lambda wildcards: embedding(wildcards)["weights"]),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/embed_crops.py"


rule describe_embedding:
    """Write down which network with which weights made the vectors."""
    input:
        weights=lambda wildcards: given(embedding_weights(wildcards)),
    output:
        about=at(paths.ABOUT, feature="embed.{name}"),
    log:
        "<results>/logs/describe_embedding/{name}.log",
    benchmark:
        "<results>/benchmarks/describe_embedding/{name}.jsonl"
    wildcard_constraints:
        name=one_of(PLAN.config["features"]["embeddings"]),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(5),
        serial=1,
    params:
        code=code_of("describe_embedding.py"),
        entry=lambda wildcards: without(embedding(wildcards), "weights"),
        weights=unrecorded(lambda wildcards: embedding(wildcards)["weights"]),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/describe_embedding.py"


rule embed_audio:
    """Run a frozen network of speech over the audio of one video."""
    input:
        audio=at(paths.AUDIO),
        frames=at(paths.FRAMES),
        weights=lambda wildcards: given(weights_file(audio_embedding(wildcards)["weights"], PLAN.config["models_dir"])),
    output:
        feature=at(paths.FEATURE, feature="audio_embed.{name}", owner="{video}"),
        valid=at(paths.VALID, feature="audio_embed.{name}", owner="{video}"),
    log:
        "<results>/logs/embed_audio/{name}/{video}.log",
    benchmark:
        "<results>/benchmarks/embed_audio/{name}/{video}.jsonl"
    wildcard_constraints:
        name=one_of(PLAN.config["features"]["audio_embeddings"]),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
        gpu=0,
        serial=1,
    params:
        code=code_of("embed_audio.py"),
        entry=lambda wildcards: without(audio_embedding(wildcards), "weights"),
        weights=unrecorded(lambda wildcards: audio_embedding(wildcards)["weights"]),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/embed_audio.py"


rule describe_audio_embedding:
    """Write down which network of speech with which weights made the vectors."""
    input:
        weights=lambda wildcards: given(weights_file(audio_embedding(wildcards)["weights"], PLAN.config["models_dir"])),
    output:
        about=at(paths.ABOUT, feature="audio_embed.{name}"),
    log:
        "<results>/logs/describe_audio_embedding/{name}.log",
    benchmark:
        "<results>/benchmarks/describe_audio_embedding/{name}.jsonl"
    wildcard_constraints:
        name=one_of(PLAN.config["features"]["audio_embeddings"]),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(5),
        serial=1,
    params:
        code=code_of("describe_audio_embedding.py"),
        entry=lambda wildcards: without(audio_embedding(wildcards), "weights"),
        weights=unrecorded(lambda wildcards: audio_embedding(wildcards)["weights"]),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/describe_audio_embedding.py"


rule find_bodies:
    """Find the body of the person that each trial of a video shows."""
    input:
        source=lambda wildcards: given(
            body_source(PLAN.config["features"]["bodies"], wildcards.video, PLAN.config["models_dir"]) or []
        ),
        video=lambda wildcards: raw_video(wildcards.video),
        persons=at(paths.PERSONS),
    output:
        bodies=at(paths.BODIES),
    log:
        "<results>/logs/find_bodies/{video}.log",
    benchmark:
        "<results>/benchmarks/find_bodies/{video}.jsonl"
    wildcard_constraints:
        video=r"[^/]+" if PLAN.config["features"]["bodies"] else one_of([]),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(240),
        gpu=0,
        serial=1,
    params:
        code=code_of("find_bodies.py"),
        bodies=without(PLAN.config["features"]["bodies"] or {}, "path"),
        models_dir=unrecorded(PLAN.config["models_dir"]),
    script:
        "../../scripts/find_bodies.py"


rule cut_scenes:
    """Cut one trial's crops of the whole scene, of the body in it, or of the scene without it."""
    input:
        video=lambda wildcards: raw_video(PLAN.corpus.video_of[wildcards.trial]),
        frames=lambda wildcards: at(paths.FRAMES, video=PLAN.corpus.video_of[wildcards.trial]),
        bodies=lambda wildcards: bodies_for([wildcards.template], wildcards.trial),
    output:
        crops=at(paths.CROPS),
    log:
        "<results>/logs/cut_scenes/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/cut_scenes/{template}/{trial}.jsonl"
    wildcard_constraints:
        template=one_of([name for name in crop_templates.scenes() if name not in TOGETHER]),
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=20,
        serial=1,
    params:
        code=code_of("cut_scenes.py"),
        templates=lambda wildcards: [crop_templates.value(wildcards.template)],
    script:
        "../../scripts/cut_scenes.py"


if SCENES_TOGETHER := [name for name in TOGETHER if name in crop_templates.scenes()]:

    # Several templates in one decoding pass, as the configuration asks.
    use rule cut_scenes as cut_scenes_together with:
        input:
            video=lambda wildcards: raw_video(PLAN.corpus.video_of[wildcards.trial]),
            frames=lambda wildcards: at(paths.FRAMES, video=PLAN.corpus.video_of[wildcards.trial]),
            bodies=lambda wildcards: bodies_for(SCENES_TOGETHER, wildcards.trial),
        output:
            [at(paths.CROPS, template=name) for name in SCENES_TOGETHER],
        log:
            "<results>/logs/cut_scenes_together/{trial}.log",
        benchmark:
            "<results>/benchmarks/cut_scenes_together/{trial}.jsonl"
        params:
            code=code_of("cut_scenes.py"),
            templates=[crop_templates.value(name) for name in SCENES_TOGETHER],


FEATURES_OF_RUN = sorted({*PLAN.inputs.features(), *SOUNDS_TOGETHER, *configured(PLAN.config["features"])})


rule features:
    """Everything that systems ask for, and everything that the section `features` of the configuration names or describes."""
    input:
        expand(
            at(paths.FEATURE, owner="{video}"),
            feature=[name for name in FEATURES_OF_RUN if not of_trial(name)],
            video=VIDEOS,
        ),
        expand(
            at(paths.FEATURE, owner="{trial}"),
            feature=[name for name in FEATURES_OF_RUN if of_trial(name)],
            trial=TRIALS,
        ),
        expand(
            at(paths.ABOUT),
            feature=FEATURES_OF_RUN,
        ),
        expand(at(paths.BODIES), video=VIDEOS if PLAN.config["features"]["bodies"] else []),
    localrule: True
