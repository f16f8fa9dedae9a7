"""Join the annotation rows of one task to the decoded frames."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.corpus.labels import write_labels
    from wildaffect.corpus.trials import Trial
    from wildaffect.paths import by_video

    write_labels(
        Path(snakemake.output.labels),
        task=snakemake.wildcards.task,
        trials=[Trial(**row) for row in snakemake.params.trials],
        annotations=Path(snakemake.params.root),
        frames=by_video(snakemake.input.frames),
        rules=snakemake.params.rules,
    )
