"""Join the annotation rows of one task to the decoded frames."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.corpus.labels import LabelRules, write_labels
    from wildaffect.corpus.timed import Range
    from wildaffect.corpus.trials import Trial

    write_labels(
        Path(snakemake.output.labels),
        task=snakemake.wildcards.task,
        trials=[Trial(**row) for row in snakemake.params.trials],
        annotations=Path(snakemake.params.root),
        frames=paths.keyed(paths.FRAMES, snakemake.input.frames),
        rules=LabelRules.from_plain(snakemake.params.rules),
        classes=snakemake.params.classes,
        excluded={trial: [Range(*part) for part in parts] for trial, parts in snakemake.params.excluded.items()},
    )
