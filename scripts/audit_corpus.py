"""List every anomaly of the corpus: one line each."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.manifests import read_lists
    from wildaffect.report.audit import write_audit

    write_audit(
        Path(snakemake.output.audit),
        trials=Path(snakemake.input.trials),
        frames=paths.keyed(paths.FRAMES, read_lists(snakemake.input.frames)),
        audio=paths.keyed(paths.AUDIO, read_lists(snakemake.input.audio)),
        persons=paths.keyed(paths.PERSONS, read_lists(snakemake.input.persons)),
        labels=paths.keyed(paths.LABELS, snakemake.input.labels),
        folds=Path(snakemake.input.folds),
    )
