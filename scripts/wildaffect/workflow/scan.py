"""The corpus as a configuration describes it, and its tables."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wildaffect.corpus.folds import FOLDS, make_folds
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.trials import TRIALS, Corpus, trials_table
from wildaffect.tables import write_table


def scan(block: Mapping[str, Any]) -> Corpus:
    """The corpus that the section ``corpus`` describes: scanned, or as the demo will render it."""
    if block["layout"] == "demo":
        from wildaffect.demo.corpus import demo_corpus

        return demo_corpus(**block["demo"])
    annotations = Path(block["annotations"]) if block["annotations"] else None
    return scan_corpus(block["layout"], Path(block["root"]), annotations, block["edition"])


def write_corpus_tables(
    trials: Path, folds: Path, *, corpus: Mapping[str, Any], folds_config: Mapping[str, Any]
) -> None:
    """Scan the corpus again and write ``corpus/trials.parquet`` (findings in its metadata) and ``corpus/folds.parquet``."""
    found = scan(corpus)
    findings = [asdict(finding) for finding in found.findings]
    write_table(trials, trials_table(found.trials), TRIALS, {"findings": findings, "corpus": dict(corpus)})
    table = make_folds(found.trials, folds_config["scheme"], folds_config["count"], folds_config["seed"])
    write_table(folds, table, FOLDS, dict(folds_config))
