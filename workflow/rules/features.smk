from wildaffect.faces.catalogue import SCENES


rule extract_feature:
    """Compute one feature of one video, a row per decoded frame."""
    input:
        audio="<results>/media/{video}/audio.flac",
        frames="<results>/media/{video}/frames.parquet",
    output:
        feature="<results>/features/{feature}/{video}.npy",
        valid="<results>/features/{feature}/valid/{video}.npy",
    log:
        "<results>/logs/extract_feature/{feature}/{video}.log",
    benchmark:
        "<results>/benchmarks/extract_feature/{feature}/{video}.jsonl"
    wildcard_constraints:
        feature=one_of(FEATURES),
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
        gpu=0,
        serial=1,
    params:
        code=feature_code("extract_feature.py"),
        weights=feature_weights,
        pca=feature_pca,
        models_dir=PLAN.config["models_dir"],
    script:
        "../../scripts/extract_feature.py"


rule describe_feature:
    """Write down what the columns of a feature are and how they were made."""
    output:
        about="<results>/features/{feature}/about.json",
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
        mem_mb=growing(2000),
        runtime=growing(5),
        serial=1,
    params:
        code=feature_code("describe_feature.py"),
        weights=feature_weights,
        pca=feature_pca,
        models_dir=PLAN.config["models_dir"],
    script:
        "../../scripts/describe_feature.py"


rule import_feature:
    """Take one trial's vectors that were computed elsewhere, a row per decoded frame."""
    input:
        source=lambda wildcards: import_file(wildcards.name, wildcards.trial),
        frames=lambda wildcards: f"<results>/media/{PLAN.corpus.video_of[wildcards.trial]}/frames.parquet",
    output:
        feature="<results>/features/import.{name}/{trial}.npy",
        valid="<results>/features/import.{name}/valid/{trial}.npy",
        report="<results>/features/import.{name}/reports/{trial}.json",
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
        mem_mb=growing(2000),
        runtime=growing(10),
        serial=1,
    params:
        code=code_of("import_feature.py"),
        entry=lambda wildcards: PLAN.config["features"]["import"][wildcards.name],
        video=lambda wildcards: PLAN.corpus.video_of[wildcards.trial],
    script:
        "../../scripts/import_feature.py"


rule describe_import:
    """Write down what was said of a feature that was computed elsewhere."""
    output:
        about="<results>/features/import.{name}/about.json",
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
        mem_mb=growing(1000),
        runtime=growing(5),
        serial=1,
    params:
        code=code_of("describe_import.py"),
        entry=lambda wildcards: PLAN.config["features"]["import"][wildcards.name],
    script:
        "../../scripts/describe_import.py"


rule embed_crops:
    """Run a frozen image network over the crops of one trial."""
    input:
        crops=lambda wildcards: f"<results>/crops/{embedding(wildcards)['crops']}/{wildcards.trial}.arrow",
        weights=embedding_weights,
    output:
        feature="<results>/features/embed.{name}/{trial}.npy",
        valid="<results>/features/embed.{name}/valid/{trial}.npy",
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
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=0,
        serial=1,
    params:
        code=code_of("embed_crops.py"),
        entry=embedding,
        models_dir=PLAN.config["models_dir"],
    script:
        "../../scripts/embed_crops.py"


rule describe_embedding:
    """Write down which network with which weights made the vectors."""
    input:
        weights=embedding_weights,
    output:
        about="<results>/features/embed.{name}/about.json",
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
        mem_mb=growing(2000),
        runtime=growing(5),
        serial=1,
    params:
        code=code_of("describe_embedding.py"),
        entry=embedding,
        models_dir=PLAN.config["models_dir"],
    script:
        "../../scripts/describe_embedding.py"


rule find_bodies:
    """Find the body of the person that each trial of a video shows."""
    input:
        source=lambda wildcards: (
            body_source(PLAN.config["features"]["bodies"], wildcards.video, PLAN.config["models_dir"]) or []
        ),
        video=lambda wildcards: raw_video(wildcards.video),
        persons="<results>/faces/{video}/persons.parquet",
    output:
        bodies="<results>/bodies/{video}.parquet",
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
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=0,
        serial=1,
    params:
        code=code_of("find_bodies.py"),
        bodies=PLAN.config["features"]["bodies"],
        models_dir=PLAN.config["models_dir"],
    script:
        "../../scripts/find_bodies.py"


rule cut_scenes:
    """Make one trial's pictures of the whole scene, of the body in it, or of the scene without it."""
    input:
        video=lambda wildcards: raw_video(PLAN.corpus.video_of[wildcards.trial]),
        frames=lambda wildcards: f"<results>/media/{PLAN.corpus.video_of[wildcards.trial]}/frames.parquet",
        bodies=lambda wildcards: (
            f"<results>/bodies/{PLAN.corpus.video_of[wildcards.trial]}.parquet" if SCENES[wildcards.template] else []
        ),
    output:
        crops="<results>/crops/{template}/{trial}.arrow",
    log:
        "<results>/logs/cut_scenes/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/cut_scenes/{template}/{trial}.jsonl"
    wildcard_constraints:
        template="|".join(SCENES),
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
        serial=1,
    params:
        code=code_of("cut_scenes.py"),
    script:
        "../../scripts/cut_scenes.py"


rule features:
    """Everything that systems ask for, and everything that the section `features` of the configuration describes."""
    input:
        expand(
            "<results>/features/{feature}/{video}.npy",
            feature=[name for name in PLAN.inputs.features() if not of_trial(name)],
            video=VIDEOS,
        ),
        expand("<results>/features/{feature}/{trial}.npy", feature=configured(PLAN.config["features"]), trial=TRIALS),
        expand(
            "<results>/features/{feature}/about.json",
            feature=sorted({*PLAN.inputs.features(), *configured(PLAN.config["features"])}),
        ),
        expand("<results>/bodies/{video}.parquet", video=VIDEOS if PLAN.config["features"]["bodies"] else []),
    localrule: True
