"""Variants that differ in settings: what the configuration may say of them, and what is planned and trained for each."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from support.corpora import affwild2, touch, write_annotation
from support.runs import TINY, Corpus, train
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.report.runs import notes
from wildaffect.report.scores import repeated, repetitions
from wildaffect.systems.headers import read_header
from wildaffect.weights import save_weights
from wildaffect.workflow.plan import make_plan
from wildaffect.workflow.settings import complete_settings, trained_here

BASE = {
    "faces": {"backend": "dlib", "model": "hog"},
    "features": {"vggish_weights": "seeded"},
    "folds": {"scheme": "official"},
}
EXPR = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"


@pytest.fixture
def plan_of(tmp_path):
    """Plan of a corpus annotated for valence, arousal and expressions, with a test video."""
    affwild2(tmp_path, {"Train_Set": ["a", "b"], "Validation_Set": ["c"]}, [f"{name}.mp4" for name in "abcz"])
    for folder, trials in (("Training_Set", "ab"), ("Validation_Set", "c")):
        for trial in trials:
            write_annotation(tmp_path / "annotations" / "EXPR_Set" / folder / f"{trial}.txt", 3, EXPR, "0")
    (tmp_path / "va_test_set.txt").write_text("z\n")

    def plan(blocks, **changes):
        return make_plan(BASE | {"corpus": {"root": str(tmp_path)}, "systems": blocks} | changes)

    return plan


def settings_of(plan, variant, target):
    (found,) = {
        i: settings for i, settings in plan.inputs.settings.items() if (i.variant, i.target) == (variant, target)
    }.values()
    return found


def test_a_variant_has_its_own_values_over_those_of_the_system(plan_of):
    block = {
        "targets": ["va"],
        "recipe": {"epochs": 7, "network": {"width": 0.5, "units": [1, 1, 1, 1]}},
        "variants": {
            "image": {},
            "wide": {"base": "image", "epochs": 9, "network": {"width": 1.0}},
            "blocks": {"base": "frames_stat", "crops": "cnu_aligned224"},
        },
    }
    plan = plan_of({"cnu_adl": block})
    found = {name: settings_of(plan, name, "va") for name in ("image", "wide", "blocks")}
    assert {name: (s.epochs, s.network.width, s.network.units) for name, s in found.items()} == {
        "image": (7, 0.5, (1, 1, 1, 1)),
        "wide": (9, 1.0, (1, 1, 1, 1)),
        "blocks": (7, 0.5, (1, 1, 1, 1)),
    }
    assert plan.inputs.templates() == ["cnu224", "cnu_aligned224"]
    assert {i.variant: plan.inputs.base(i) for i in plan.instances} == {
        "image": "image",
        "wide": "image",
        "blocks": "frames_stat",
    }
    assert plan.outputs.tests() == [
        f"results/predictions/cnu_adl/{name}/va/ensemble/test.parquet" for name in ("image", "wide", "blocks")
    ]
    assert "results/submissions/abaw2/cnu_adl/wide/va.json" in plan.submissions.paths()
    assert "results/exports/cnu_adl/blocks" in plan.outputs.exports()


def test_a_seed_of_its_own_makes_a_second_training_of_one_network(plan_of):
    block = {"targets": ["va"], "variants": {"image": None, "again": {"base": "image", "seed": 8}}}
    plan = plan_of({"cnu_adl": block}, training={"seed": 3})
    section = plan.config["training"]
    assert (section["seed"], section["precision"]) == (3, "float32")
    assert {i.variant: plan.inputs.training(i) for i in plan.instances} == {
        "image": section,
        "again": section | {"seed": 8},
    }


@pytest.mark.parametrize("system", trained_here())
def test_a_list_and_a_block_of_the_same_names_are_the_same_run(plan_of, system, tmp_path):
    names = list(systems.spec(system).variants)[:2]
    blocks = {
        "import": {"senet": {"path": str(tmp_path / "{trial}.npy"), "columns": 512}},
        "bodies": {"source": "face_box"},
    }
    for trial in "abcz":
        touch(tmp_path / f"{trial}.npy")
    plans = [
        plan_of({system: {"variants": given, "targets": ["va"], "recipe": {}}}, features=BASE["features"] | blocks)
        for given in (names, {name: {} for name in names})
    ]
    first, second = plans
    assert first.instances == second.instances
    assert first.inputs.settings == second.inputs.settings and first.predictions() == second.predictions()
    assert complete_settings({"systems": {system: {"variants": names}}})["systems"][system]["variants"] == names


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"imagee": {}}, r"config\.systems\.cnu_adl\.variants\.imagee: is no published variant; did you mean 'image'"),
        ({"a": {"base": "imge"}}, r"variants\.a\.base: 'imge' is not possible; did you mean 'image'"),
        ({"image": {"base": "frames_stat"}}, r"variants\.image\.base: image is a published variant itself"),
        ({"a": {"base": "image", "epochz": 3}}, r"variants\.a: unknown key 'epochz'; did you mean 'epochs'"),
        (
            {"a": {"base": "image", "network": {"width": "x"}}},
            r"variants\.a\.network\.width: 'x' where a number is expected",
        ),
        ({"a": {"base": "image", "network": {"wide": 1}}}, r"variants\.a\.network: unknown key 'wide'"),
        ({"a": {"base": "image", "seed": -1}}, r"variants\.a\.seed: -1 is too small"),
        ({"A b": {"base": "image"}}, r"variants\.A b.*does not match"),
        ({"image": 3}, r"variants\.image: 3 where .*a block of keys"),
        ({"image": False}, r"variants: no variant is left"),
        ({}, r"config\.systems\.cnu_adl\.variants"),
        ([], r"config\.systems\.cnu_adl\.variants"),
        (["imge"], r"variants\[0\]: 'imge' is not possible; did you mean 'image'"),
    ],
)
def test_mistakes_are_named_with_their_whole_key(variants, message):
    with pytest.raises(InputError, match=message):
        complete_settings({"systems": {"cnu_adl": {"variants": variants}}})


@pytest.mark.parametrize(("name", "own"), [("mine", {"base": "mini_xception"}), ("mini_xception", {"seeds": [1, 2]})])
def test_a_system_that_comes_trained_has_no_variants_of_other_names(name, own):
    block = {"variants": {name: own}, "targets": ["expr"]}
    with pytest.raises(InputError, match=rf"fer2013\.variants\.{name}: comes trained"):
        complete_settings({"systems": {"fer2013": block}})


def test_a_mistake_of_the_systems_recipe_is_said_once():
    block = {"recipe": {"epochs": 0}, "variants": {"image": {}, "a": {"base": "image"}}}
    with pytest.raises(InputError) as caught:
        complete_settings({"systems": {"cnu_adl": block}})
    assert str(caught.value).count("epochs") == 1 and "cnu_adl.recipe.epochs" in str(caught.value)


def test_the_complete_configuration_stays_as_it_is():
    block = {"variants": {"image": {}, "a": {"base": "image", "seed": 1, "network": {"width": 0.5}}, "b": False}}
    complete = complete_settings({"systems": {"cnu_adl": block}})
    assert complete["systems"]["cnu_adl"]["variants"] == {
        "image": {"base": "image", "seed": None},
        "a": {"base": "image", "seed": 1, "network": {"width": 0.5}},
    }
    assert complete_settings(yaml.safe_load(yaml.safe_dump(complete))) == complete


def test_targets_that_the_published_variant_lacks_are_left_out(plan_of):
    narrowed = {name: spec for name in systems.available() if (spec := systems.spec(name)).narrowed}
    for system, spec in narrowed.items():
        (base, targets), *_ = spec.narrowed.items()
        lacking = [name for name in spec.targets if name not in targets]
        with pytest.raises(InputError, match="mine has none of the targets"):
            plan_of({system: {"variants": {"mine": {"base": base}}, "targets": lacking}})
    assert narrowed


def test_initial_weights_that_are_missing_are_named_by_the_key_that_names_them(plan_of, tmp_path):
    absent = str(tmp_path / "absent.pth")
    own = {"targets": ["va"], "variants": {"image": {}, "a": {"base": "image", "face_weights": absent}}}
    with pytest.raises(
        InputError, match=r"absent\.pth: config\.systems\.cnu_adl\.variants\.a\.face_weights: no such file"
    ):
        plan_of({"cnu_adl": own})
    shared = {"targets": ["va"], "variants": {"a": {"base": "image"}}, "recipe": {"face_weights": absent}}
    with pytest.raises(InputError, match=r"absent\.pth: config\.systems\.cnu_adl\.recipe\.face_weights: no such file"):
        plan_of({"cnu_adl": shared})


def test_weights_of_the_published_variant_fit_a_name_and_those_of_others_do_not(plan_of, tmp_path):
    def planned(about):
        folder = tmp_path / "runs/cnu_adl/t8/va/fold0"
        save_weights({"x": torch.zeros(1)}, folder / "model.safetensors", about)
        block = {"variants": {"t8": {"base": "image"}}, "targets": ["va"], "trained": str(tmp_path / "runs")}
        return plan_of({"cnu_adl": block})

    names = {"system": "cnu_adl", "target": "va"}
    assert planned({**names, "variant": "image"}).runs.trainings() == []
    assert planned({**names, "variant": "t8", "base": "image"}).runs.trainings() == []
    with pytest.raises(InputError, match="weights of variant frames_stat, but t8 was asked for"):
        planned({**names, "variant": "frames_stat"})
    with pytest.raises(InputError, match="weights of base frames_stat, but image was asked for"):
        planned({**names, "variant": "t8", "base": "frames_stat"})


def test_cnu_adl_as_submitted_is_one_run(plan_of, root):
    overlay = yaml.safe_load((root / "config/cnu_adl_abaw1.yaml").read_text())
    plan = plan_of(overlay["systems"], score=overlay["score"])
    assert sorted(i.variant for i in plan.instances) == ["t12", "t15", "t31", "t45", "t8"]
    heads = {
        i.variant: (plan.inputs.base(i), s.network.classification, s.network.regression)
        for i, s in plan.inputs.settings.items()
    }
    assert heads == {
        "t8": ("image", None, None),
        "t12": ("image", (2048,), (2048,)),
        "t15": ("image", None, None),
        "t31": ("frames_stat", None, None),
        "t45": ("stat_bilstm", None, None),
    }
    assert len({plan.inputs.training(i)["seed"] for i in plan.instances if i.variant in ("t8", "t15")}) == 2
    ensembles = plan.outputs.ensembles
    assert [source[1] for source in ensembles["t57"].sources] == ["t12", "t31", "t45"]
    assert [source[1] for source in ensembles["t58"].sources] == ["t15", "t31", "t8"]
    with torch.device("meta"):  # parameters as published (CNU_ADL spec 3.3)
        total = sum(
            p.numel()
            for p in systems.build_model("cnu_adl", "image", classification=(2048,), regression=(2048,))
            .state_dict()
            .values()
            if p.dim() or p.is_floating_point()
        )
    assert total == 44_571_598


def test_the_report_says_what_is_a_variants_own():
    block = {"variants": {"image": {}, "a": {"base": "image", "seed": 1, "network": {"width": 0.5}}}}
    said = notes(complete_settings({"systems": {"cnu_adl": block}}))
    assert "cnu_adl/a is the variant image with its own network, seed." in said
    assert not [line for line in said if line.startswith("cnu_adl/image")]


def test_records_and_weights_name_the_variant_and_the_published_one(tmp_path):
    corpus = Corpus(tmp_path, train=1, validation=1)
    recipe = TINY | {"epochs": 1}
    first = train(**corpus.train_arguments("first", recipe=recipe))
    named = train(**corpus.train_arguments("mine", recipe=recipe, variant="mine", base="multimodal", seed=9))
    assert "base" not in first and (named["variant"], named["base"]) == ("mine", "multimodal")
    about = read_header(tmp_path / "mine/run/model.safetensors")[1]
    assert (about["variant"], about["base"]) == ("mine", "multimodal")
    weights = [load_file(tmp_path / name / "run/model.safetensors") for name in ("first", "mine")]
    assert weights[0].keys() == weights[1].keys()
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_seeds_repeat_a_variant(plan_of):
    block = {"targets": ["va"], "variants": {"image": None, "wide": {"base": "image", "epochs": 9, "seeds": [4, 2]}}}
    plan = plan_of({"cnu_adl": block})
    assert {i.variant: plan.inputs.training(i)["seed"] for i in plan.instances} == {
        "image": 0,
        "wide_seed4": 4,
        "wide_seed2": 2,
    }
    assert {settings_of(plan, f"wide_seed{k}", "va").epochs for k in (2, 4)} == {9}
    assert repetitions(plan.config["systems"]) == [[("cnu_adl", "wide_seed4"), ("cnu_adl", "wide_seed2")]]
    assert complete_settings(plan.config)["systems"] == plan.config["systems"]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"image": {"seeds": [1, 1]}}, r"variants\.image\.seeds"),
        ({"image": {"seeds": []}}, r"variants\.image\.seeds"),
        ({"image": {"seeds": [1], "seed": 2}}, r"variants\.image\.seeds: there is 'seed' too"),
        (
            {"image": {"seeds": [1]}, "image_seed1": {"base": "image"}},
            r"seeds: image_seed1 is the name of another variant",
        ),
    ],
)
def test_mistakes_in_seeds_are_named(variants, message):
    with pytest.raises(InputError, match=message):
        complete_settings({"systems": {"cnu_adl": {"variants": variants}}})


def test_a_search_tries_all_combinations_and_is_an_ensemble_of_the_best(plan_of):
    search = {"learning_rate": [1e-2, 1e-3], "network.width": [0.5, 1.0]}
    block = {"targets": ["va", "mtl"], "variants": {"image": {"search": search}, "frames_stat": None}}
    plan = plan_of({"cnu_adl": block}, folds={"scheme": "grouped", "count": 2})
    found = {i.variant: own for i, own in plan.inputs.settings.items() if (i.target, i.fold) == ("va", 0)}
    other = found.pop("frames_stat").learning_rate
    assert [*found] == [f"image_search{number}" for number in range(4)]
    values = [(own.learning_rate, own.network.width) for own in found.values()]
    assert values == [(1e-2, 0.5), (1e-2, 1), (1e-3, 0.5), (1e-3, 1)] and other not in (1e-2, 1e-3)
    names = ["cnu_adl_image_va", "cnu_adl_image_mtl_va", "cnu_adl_image_mtl_expr"]
    assert [*plan.config["score"]["ensembles"]] == names
    ensemble = plan.config["score"]["ensembles"]["cnu_adl_image_va"]
    assert ensemble["members"] == [f"cnu_adl/{name}/va" for name in found] and ensemble["method"] == "best"
    choosing = plan.outputs.choosing_member("cnu_adl_image_va", "fold1")
    assert choosing["held_out"] == [f"results/predictions/cnu_adl/{name}/va/fold0/validation.parquet" for name in found]
    assert len(plan.outputs.choosing_member("cnu_adl_image_va", "ensemble")["held_out"]) == 8
    assert complete_settings(plan.config) == plan.config


def test_a_target_of_several_tasks_is_chosen_for_each():
    block = {"targets": ["va_expr"], "variants": {"gru": {"search": {"dropout": [0.1, 0.2]}}}}
    found = complete_settings({"systems": {"sequence": block}})["score"]["ensembles"]
    assert {name: (e["target"], e["members"][1]) for name, e in found.items()} == {
        "sequence_gru_va_expr_va": ("va", "sequence/gru_search1/va_expr"),
        "sequence_gru_va_expr_expr": ("expr", "sequence/gru_search1/va_expr"),
    }


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"image": {"search": {"epochs": []}}}, r"variants\.image\.search"),
        ({"image": {"search": {}}}, r"variants\.image\.search"),
        ({"image": {"search": {"epochs": [1, -1]}}}, r"variants\.image\.epochs"),
        ({"image": {"search": {"epoch": [1, 2]}}}, r"unknown key 'epoch'"),
        ({"image": {"search": {"seed": [1, 2]}}}, r"variants\.image\.search\.seed: is no key of the recipe"),
        (
            {"image": {"search": {"network": [{}], "network.width": [1]}}},
            r"search\.network: is no key of the recipe, or",
        ),
        ({"image": {"search": {"epochs": [1, 2]}, "seeds": [1]}}, r"search: there is 'seeds' too"),
        (
            {"image": {"search": {"epochs": [1]}}, "image_search0": {"base": "image"}},
            r"image_search0 is the name of another",
        ),
    ],
)
def test_mistakes_in_searches_are_named(variants, message):
    with pytest.raises(InputError, match=message):
        complete_settings({"systems": {"cnu_adl": {"variants": variants}}})


def test_a_search_needs_a_second_fold(plan_of):
    with pytest.raises(InputError, match=r"ensembles\.cnu_adl_image_va: .*two folds.* there are 2 and 1"):
        plan_of({"cnu_adl": {"targets": ["va"], "variants": {"image": {"search": {"epochs": [1, 2]}}}}})


def test_an_ablation_plans_a_training_for_each_input_set_and_seed(plan_of):
    overlay = yaml.safe_load((Path(__file__).parents[2] / "config" / "ablation.yaml").read_text())
    plan = plan_of(overlay["systems"], features=BASE["features"] | overlay["features"], score=overlay["score"])
    trained = [instance.variant for instance in plan.runs.trainings()]
    assert trained == [f"{name}_seed{seed}" for name in ("both", "face", "audio") for seed in range(3)]
    assert plan.inputs.features() == ["egemaps25", "embed.hog"]
    assert plan.outputs.comparisons() == ["results/scores/comparisons.csv"]


def test_the_report_shows_mean_and_spread_over_seeds():
    rows = [("a", "1", 0.1), ("a", "cross-validation", 0.2), ("b", "cross-validation", 0.4), ("c", "1", 0.9)]
    columns = ("variant", "fold", "value")
    table = pd.DataFrame(rows, columns=columns).assign(
        system="s", target="va", partition="validation", edition="abaw2", metric="va_score"
    )
    (row,) = repeated(table, ["va_score"], [[("s", "a"), ("s", "b")]])
    assert row["variants"] == ["s/a", "s/b"] and row["count"] == 2
    assert row["mean"] == pytest.approx(0.3) and row["deviation"] == pytest.approx(0.02**0.5)
    assert (row["lowest"], row["highest"]) == (0.2, 0.4)
    assert repeated(table, ["va_score"], [[("s", "a"), ("s", "missing")]]) == []
