from wildaffect.faces.catalogue import ALIGNED

ROOT = PLAN.config["faces"]["official_root"]


rule read_official:
    """List in which frames the organisers found each trial's face."""
    input:
        frames="<results>/media/{video}/frames.parquet",
        pictures=lambda wildcards: given(official_folders(ROOT, ALIGNED, PLAN.corpus.of_video(wildcards.video))),
    output:
        persons="<results>/faces/{video}/persons.parquet",
        detections="<results>/faces/{video}/detections.parquet",
    log:
        "<results>/logs/read_official/{video}.log",
    benchmark:
        "<results>/benchmarks/read_official/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
        serial=1,
    params:
        code=code_of("read_official.py"),
        root=unrecorded(ROOT),
        trials=lambda wildcards: PLAN.corpus.of_video(wildcards.video),
    script:
        "../../scripts/read_official.py"


rule pack_official:
    """Put the organisers' pictures of one trial into one file."""
    input:
        frames=lambda wildcards: f"<results>/media/{PLAN.corpus.video_of[wildcards.trial]}/frames.parquet",
        pictures=lambda wildcards: given(official_folders(ROOT, OFFICIAL[wildcards.template], [wildcards.trial])),
    output:
        crops="<results>/crops/{template}/{trial}.arrow",
    log:
        "<results>/logs/pack_official/{template}/{trial}.log",
    benchmark:
        "<results>/benchmarks/pack_official/{template}/{trial}.jsonl"
    wildcard_constraints:
        template="|".join(OFFICIAL),
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(20),
        serial=1,
    params:
        code=code_of("pack_official.py"),
        root=unrecorded(ROOT),
    script:
        "../../scripts/pack_official.py"
