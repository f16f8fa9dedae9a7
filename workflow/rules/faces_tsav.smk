ALIGNMENTS = tsav_alignments(PLAN.config["faces"]["official_root"], PLAN.corpus.trials)


# Crops are cut from the videos as after detection.
include: "faces_cut.smk"


rule read_alignments:
    """Take the faces of one video as TSAV's authors aligned them."""
    input:
        frames=at(paths.FRAMES),
        alignments=lambda wildcards: given([ALIGNMENTS[trial] for trial in PLAN.corpus.of_video(wildcards.video)]),
    output:
        persons=at(paths.PERSONS),
        detections=at(paths.DETECTIONS),
    log:
        "<results>/logs/read_alignments/{video}.log",
    benchmark:
        "<results>/benchmarks/read_alignments/{video}.jsonl"
    conda:
        "../../envs/faces.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=scale_with_attempt(10),
        serial=1,
    params:
        code=code_of("read_alignments.py"),
        trials=lambda wildcards: PLAN.corpus.of_video(wildcards.video),
    script:
        "../../scripts/read_alignments.py"
