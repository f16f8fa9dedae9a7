rule decode_frames:
    """Decode a video once and write its frame table."""
    input:
        video=lambda wildcards: raw_video(wildcards.video),
    output:
        frames=at(paths.FRAMES),
    log:
        "<results>/logs/decode_frames/{video}.log",
    benchmark:
        "<results>/benchmarks/decode_frames/{video}.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=10,
        serial=1,
    params:
        code=code_of("decode_frames.py"),
        stream=lambda wildcards: PLAN.corpus.streams[wildcards.video][0],
    script:
        "../../scripts/decode_frames.py"


rule extract_audio:
    """Put the audio of a video on the clock of its frames."""
    input:
        video=lambda wildcards: raw_video(wildcards.video),
        frames=at(paths.FRAMES),
    output:
        audio=at(paths.AUDIO),
    log:
        "<results>/logs/extract_audio/{video}.log",
    benchmark:
        "<results>/benchmarks/extract_audio/{video}.jsonl"
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(1000),
        runtime=10,
        serial=1,
    params:
        code=code_of("extract_audio.py"),
        stream=lambda wildcards: PLAN.corpus.streams[wildcards.video][1],
    script:
        "../../scripts/extract_audio.py"


rule media:
    input:
        expand(at(paths.FRAMES), video=VIDEOS),
        expand(at(paths.AUDIO), video=VIDEOS),
    localrule: True
