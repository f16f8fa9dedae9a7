"""Write the report: an overview, and a page for each video."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.manifests import read_lists
    from wildaffect.provenance import main_versions
    from wildaffect.report.build import RunFiles, build_report
    from wildaffect.report.runs import notes, uncompared, used_models
    from wildaffect.report.viewer import Shown
    from wildaffect.scoring.read import read_notes
    from wildaffect.scoring.tasks import tracks_of

    given, config = snakemake.input, snakemake.params.config
    runs = paths.entries(paths.RUN, given.runs)
    tables = [*given.predictions, *given.ensembles]
    results = Path(config["results_dir"])
    drawn = snakemake.params.media if config["report"]["overlays"] else {}
    build_report(
        Path(snakemake.output.page),
        RunFiles(
            trials=Path(given.trials),
            audit=Path(given.audit),
            frames=paths.keyed(paths.FRAMES, read_lists(given.frames)),
            audio=paths.keyed(paths.AUDIO, read_lists(given.audio)),
            persons=paths.keyed(paths.PERSONS, read_lists(given.persons)),
            sheets=paths.keyed(paths.SHEET, given.sheets),
            labels=paths.keyed(paths.LABELS, given.labels),
            runs=[{**entry, "path": entry["path"].parent} for entry in runs],
            predictions=paths.prediction_entries(tables),
            scores=next(map(Path, given.scores), None),
            trial_scores=next(map(Path, given.trial_scores), None),
            comparisons=next(map(Path, given.comparisons), None),
        ),
        Shown(
            media=snakemake.params.media,
            overlays={video: results / paths.OVERLAY.format(video=video) for video in drawn},
            quality=paths.keyed(paths.QUALITY, read_lists(given.quality)),
            speech=paths.keyed(paths.FEATURE, read_lists(given.speech)).get("speech", {}),
            trust=config["tables"]["trust"],
        ),
        config=config,
        groupings=snakemake.params.groupings,
        editions=tracks_of(snakemake.params.editions),
        models=used_models(given.detections, given.abouts, runs, tables),
        versions=main_versions(),
        notes=[*notes(config, runs, tables, paths.keyed(paths.ABOUT, given.abouts)), *uncompared(tables)],
        warnings=list(dict.fromkeys(note for table in tables for note in read_notes(Path(table)))),
    )
