"""Put the audio of a video on the clock of its frames."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.media.audio import write_audio

    write_audio(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        Path(snakemake.output.audio),
        snakemake.params.stream,
    )
