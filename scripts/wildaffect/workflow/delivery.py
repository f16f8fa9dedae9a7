"""What is scored, submitted and reported, and from which files it is made: variants and declared ensembles, smoothed where declared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wildaffect.scoring.ensembles import SYSTEM as ENSEMBLE
from wildaffect.scoring.ensembles import Ensemble, Offer, Source, plan_ensemble
from wildaffect.scoring.windows import NONE, check_windows


@dataclass(frozen=True)
class Delivery:
    """``offers``: what there is, by system, variant and target: variants first, then ensembles (``ensemble``, name, target).

    ``labelled``: tasks with annotations.
    """

    config: Mapping[str, Any]
    labelled: tuple[str, ...]
    offers: Mapping[Source, Offer]
    ensembles: Mapping[str, Ensemble]

    def path(self, source: Source, part: str, partition: str) -> str:
        """The table of ``source`` that is scored and submitted; ``part`` is ``fold<k>`` or ``ensemble`` (folds fused)."""
        tree = "predictions" if self.smoothing(*source[:2])["method"] == NONE else "smoothed"
        return f"{self.config['results_dir']}/{tree}/{'/'.join(source)}/{part}/{partition}.parquet"

    def validation(self) -> list[str]:
        """Tables of all held-out trials."""
        return [
            self.path(source, f"fold{k}", "validation") for source, offer in self.offers.items() for k in offer.folds
        ]

    def tests(self, *prefix: str) -> list[str]:
        """Tables of test trials; ``prefix`` narrows to a system or a variant."""
        chosen = [source for source, offer in self.offers.items() if offer.test and source[: len(prefix)] == prefix]
        return [self.path(source, "ensemble", "test") for source in chosen]

    def scores(self) -> list[str]:
        """Score tables, if anything held out is labelled."""
        if not self.validation():
            return []
        return [f"{self.config['results_dir']}/scores/{name}.csv" for name in ("scores", "trials")]

    def exports(self) -> list[str]:
        """Folders of CSV files, one per variant or ensemble with test trials."""
        return [f"{self.config['results_dir']}/exports/{'/'.join(variant)}" for variant in self.tested_variants()]

    def tested_variants(self) -> list[tuple[str, str]]:
        """System and variant of everything with test trials."""
        return list(dict.fromkeys(source[:2] for source, offer in self.offers.items() if offer.test))

    def tested(self, system: str, variant: str) -> dict[Source, Offer]:
        """What a variant predicts of test trials."""
        return {s: offer for s, offer in self.offers.items() if s[:2] == (system, variant) and offer.test}

    def smoothing(self, system: str, variant: str) -> Mapping[str, Any]:
        """How predictions of a system, or of the ensemble ``variant``, are smoothed over time."""
        if system == ENSEMBLE:
            return self.config["score"]["ensembles"][variant]["smoothing"]
        return self.config["systems"][system]["smoothing"]

    def smoothing_job(self, system: str, variant: str) -> dict[str, Any]:
        """:meth:`smoothing`, with the editions whose score chooses where there is a choice."""
        settings = self.smoothing(system, variant)
        editions = self.config["score"]["editions"] if isinstance(settings["window"], list) else []
        return {**settings, "editions": editions}

    def choosing(self, source: Source, part: str) -> dict[str, list[str]]:
        """What the window for ``part`` is chosen on; empty if it is given.

        Unsmoothed validation predictions of all other folds, and label tables; never test predictions.
        """
        if not isinstance(self.smoothing(*source[:2])["window"], list):
            return {"held_out": [], "labels": []}
        results, folds = self.config["results_dir"], [k for k in self.offers[source].folds if part != f"fold{k}"]
        return {
            "held_out": [f"{results}/predictions/{'/'.join(source)}/fold{k}/validation.parquet" for k in folds],
            "labels": [f"{results}/labels/{task}.parquet" for task in self.labelled],
        }

    def fusion(self, system: str, variant: str) -> Mapping[str, Any]:
        """How the folds of a system, or the members of the ensemble ``variant``, are fused."""
        if system != ENSEMBLE:
            return self.config["systems"][system]["fusion"]
        block = self.config["score"]["ensembles"][variant]
        return {key: block[key] for key in ("method", "clip", "weights")}

    def member_predictions(self, name: str, part: str, partition: str) -> list[str]:
        """Unsmoothed predictions of all members of an ensemble."""
        sources = self.ensembles[name].sources
        return [f"{self.config['results_dir']}/predictions/{'/'.join(s)}/{part}/{partition}.parquet" for s in sources]


def plan_delivery(config: Mapping[str, Any], labelled: tuple[str, ...], offers: Mapping[Source, Offer]) -> Delivery:
    """Resolve the declared ensembles against ``offers`` and check all smoothing; ``InputError`` for what cannot be."""
    blocks = config["score"]["ensembles"]
    ensembles = {name: plan_ensemble(name, block, offers) for name, block in blocks.items()}
    own = {(ENSEMBLE, name, ensemble.target): ensemble.offer for name, ensemble in ensembles.items()}
    delivery = Delivery(config, labelled, {**offers, **own}, ensembles)
    for (system, variant, _), offer in delivery.offers.items():
        settings = delivery.smoothing(system, variant)
        if settings["method"] != NONE:
            place = f"score.ensembles.{variant}" if system == ENSEMBLE else f"systems.{system}"
            check_windows(f"config.{place}.smoothing", settings["window"], len(offer.folds))
    return delivery
