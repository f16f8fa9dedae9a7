"""Write the report: one self-contained page."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.manifests import read_lists
    from wildaffect.paths import by_stem, by_video, instance_entries, prediction_entries, run_folders
    from wildaffect.provenance import main_versions
    from wildaffect.report.build import build_report
    from wildaffect.report.models import notes, used_models
    from wildaffect.scoring.tasks import tracks_of

    paths = snakemake.input
    build_report(
        Path(snakemake.output.page),
        title=snakemake.params.config["report"]["title"],
        config=snakemake.params.config,
        results=Path(snakemake.params.config["results_dir"]),
        trials=Path(paths.trials),
        audit=Path(paths.audit),
        frames=by_video(read_lists(paths.frames)),
        audio=by_video(read_lists(paths.audio)),
        persons=by_video(read_lists(paths.persons)),
        sheets=by_stem(paths.sheets),
        labels=by_stem(paths.get("labels", [])),
        runs=run_folders(paths.get("runs", [])),
        predictions=prediction_entries([*paths.get("predictions", []), *paths.get("ensembles", [])]),
        scores=by_stem(paths.get("scores", [])).get("scores"),
        trial_scores=by_stem(paths.get("scores", [])).get("trials"),
        editions=tracks_of(snakemake.params.editions),
        models=used_models(paths.detections, paths.get("abouts", []), instance_entries(paths.get("runs", []))),
        versions=main_versions(),
        demo=snakemake.params.config["corpus"]["layout"] == "demo",
        notes=notes(snakemake.params.config, instance_entries(paths.get("runs", []))),
    )
