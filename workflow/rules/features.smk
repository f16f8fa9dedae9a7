rule extract_feature:
    """Compute one feature of one video, a row per decoded frame."""
    input:
        audio="<results>/media/{video}/audio.flac",
        frames="<results>/media/{video}/frames.parquet",
    output:
        feature="<results>/features/{feature}/{video}.npy",
    log:
        "<results>/logs/extract_feature/{feature}/{video}.log",
    benchmark:
        "<results>/benchmarks/extract_feature/{feature}/{video}.jsonl"
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
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(5),
    params:
        code=feature_code("describe_feature.py"),
        weights=feature_weights,
        models_dir=PLAN.config["models_dir"],
    script:
        "../../scripts/describe_feature.py"


rule features:
    input:
        expand("<results>/features/{feature}/{video}.npy", feature=PLAN.features(), video=VIDEOS),
        expand("<results>/features/{feature}/about.json", feature=PLAN.features()),
    localrule: True
