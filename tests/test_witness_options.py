"""The options of `convexsnn fit` are the settings of the witness families: all of them, with help, and no others."""

import functools
import json
import re

import pytest

from convexsnn.cli.app import app, run
from convexsnn.cli.witness_options import NAMES, OFFERED, WitnessOptions, family_from_options
from convexsnn.cli.witness_table import documentation_of, settings_of, table
from convexsnn.families import FAMILIES, Mixture

# What to type for every setting, and what it then is: not its default, but for a bias of search.
TYPED = {
    "depth": ("4", 4),
    "last": ("20", 20),
    "neuron": ("threshold", "threshold"),
    "leak": ("0.5", 0.5),
    "dyadic_leaks": ("", True),
    "threshold": ("0.75", 0.75),
    "reset": ("none", "none"),
    "recurrent": ("", True),
    "bias": ("", True),
    "first_layer": ("2", 2),
    "readout": ("spike", "spike"),
    "standardise": ("", True),
    "delays": ("0 2 4", (0, 2, 4)),
    "taps": ("3", 3),
    "dtype": ("float32", "float32"),
    "width": ("5", 5),
    "population": ("16", 16),
    "generations": ("3", 3),
    "effort": ("1e7", 1e7),
    "seconds": ("2.5", 2.5),
    "rounds": ("6", 6),
    "patience": ("7", 7),
    "min_drop": ("0.2", 0.2),
    "stages": ("8 2 1", (8.0, 2.0, 1.0)),
    "add": ("9", 9),
    "drop_after": ("3", 3),
    "max_columns": ("30", 30),
    "attempts": ("2", 2),
    "jury": ("1", 1),
    "slim": ("no", False),
    "prune": ("0", 0),
    "round_tol": ("1e-5", 1e-5),
    "oracles": ("ascent inputs", ("ascent", "inputs")),
    "block": ("32", 32),
    "dropout": ("0.25", 0.25),
    "branches": ("3", 3),
    "hidden": ("12", 12),
    "variant": ("orthogonal", "orthogonal"),
    "lengths": ("3 7", (3, 7)),
    "readouts": ("rate spike", ("rate", "spike")),
    "windows": ("2 4", (2, 4)),
    "choose_windows": ("", True),
    "drawn": ("70", 70),
    "memory_range": ("2 30", (2.0, 30.0)),
    "threshold_range": ("0.75 1.5", (0.75, 1.5)),
    "gain_range": ("0.5 2", (0.5, 2.0)),
    "bias_scale": ("0", 0.0),
    "leak_grid": ("0.5 0.75", (0.5, 0.75)),
    "threshold_grid": ("1", (1.0,)),
    "scale_grid": ("1 3", (1.0, 3.0)),
    "sample_size": ("40", 40),
    "epochs": ("3", 3),
    "batch_size": ("8", 8),
    "learning_rate": ("0.01", 0.01),
    "schedule": ("step", "step"),
    "surrogate": ("triangle", "triangle"),
    "surrogate_width": ("0.5", 0.5),
    "detach_reset": ("no", False),
    "learn_leak": ("no", False),
    "learn_threshold": ("", True),
    "path_norm": ("no", False),
    "weight_decay": ("0.1", 0.1),
    "clip_norm": ("2", 2.0),
    "gain": ("3", 3.0),
    "method": ("pricing", "pricing"),
    "max_patterns": ("1000", 1000),
    "time_limit": ("5", 5.0),
}
OWNED = [(family, name) for family, kind in FAMILIES.items() for name in settings_of(kind)]
LACKING = [(family, name) for family in FAMILIES for name in NAMES if (family, name) not in OWNED]


# Settings that another one must go with.
WITH = {"first_layer": {"method": "pricing"}}


def option(name):
    return f"--{name.replace('_', '-')}"


def typed(name):
    words = TYPED[name][0]
    return [f"--no-{name.replace('_', '-')}"] if words == "no" else [option(name), *words.split()]


@functools.cache
def parse(*words):
    """The options that `fit` would be called with; what is typed is the same for each family."""
    _, bound, _ = app.parse_args(["fit", "--out", "x", *words], exit_on_error=False)
    return bound.arguments.get("settings", WitnessOptions())


def arguments_of_fit():
    return [own for own in app["fit"].assemble_argument_collection(parse_docstring=True) if own.names != ("*",)]


def test_options_and_settings_are_the_same_set():
    settings = {name for kind in FAMILIES.values() for name in settings_of(kind)}
    offered = {own.name for own in arguments_of_fit() if "Hidden weights" in own.parameter.group[0].name}
    assert set(NAMES) == settings == set(TYPED)
    assert offered == {option(name) for name in settings}


def test_the_table_is_what_the_families_say():
    assert json.loads(json.dumps(table())) == OFFERED, "run: python -m convexsnn.cli.witness_table"


def test_no_two_options_have_one_name():
    names = [name for own in arguments_of_fit() for name in own.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_options_a_family_is_as_its_name_says(family):
    assert family_from_options(family, parse()) == FAMILIES[family]()


@pytest.mark.parametrize(("family", "name"), OWNED)
def test_an_option_sets_its_setting_and_no_other(family, name):
    beside = WITH.get(name, {})
    words = [word for other, value in beside.items() for word in (option(other), value)]
    made, usual = family_from_options(family, parse(*typed(name), *words)), FAMILIES[family]()
    assert made == FAMILIES[family](**{name: TYPED[name][1]}, **beside)
    assert (made == usual) == ((family, name) == ("search", "bias"))


def test_a_flag_that_is_set_can_be_turned_off():
    assert family_from_options("search", parse("--no-bias")) == FAMILIES["search"](bias=False)


@pytest.mark.parametrize(("family", "name"), LACKING)
def test_an_option_that_a_family_lacks_is_refused_with_the_names_of_those_that_have_it(family, name):
    owners = ", ".join(other for other in FAMILIES if (other, name) in OWNED)
    reason = f"{option(name)} has no effect on --witnesses {family}: it is a setting of {owners}"
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        family_from_options(family, parse(*typed(name)))


def test_families_that_are_joined_heed_the_options_that_each_has():
    made = family_from_options("gaussian+search", parse("--leak", "0.5", "--hidden", "12", "--width", "5"))
    assert isinstance(made, Mixture)
    assert made.parts == (FAMILIES["gaussian"](leak=0.5, hidden=12), FAMILIES["search"](leak=0.5, width=5))
    with pytest.raises(ValueError, match=r"--epochs has no effect on --witnesses gaussian\+search"):
        family_from_options("gaussian+search", parse("--epochs", "3"))


@pytest.mark.parametrize(("family", "name"), OWNED)
def test_choices_are_those_that_the_family_takes(family, name):
    choices = documentation_of(FAMILIES[family])[name].choices
    assert bool(choices) == (isinstance(TYPED[name][1], str))
    for choice in choices:
        assert getattr(FAMILIES[family](**{name: choice}), name) == choice
    if choices:
        with pytest.raises(ValueError, match=name):
            FAMILIES[family](**{name: "nonsense"})


@pytest.mark.parametrize("own", arguments_of_fit(), ids=lambda own: own.name)
def test_every_option_of_fit_says_in_sentences_what_it_does(own):
    sentences, *facts = re.split(r" (?=\[)", " ".join(own.parameter.help.split()))
    assert re.fullmatch(r'["A-Za-z].*\w.*(\.|\.\.\.)', sentences)
    assert len(sentences.split()) >= 4
    assert "`" not in sentences or "Hidden weights" not in own.parameter.group[0].name
    name = own.name.removeprefix("--").replace("-", "_")
    if name in NAMES:
        owners = [family for family in FAMILIES if (family, name) in OWNED]
        assert [fact.split(":")[0] for fact in facts] == ["[families", "[default"][len(owners) == 1 :]
        assert len(owners) > 1 or own.parameter.group[0].name == f"Hidden weights: settings of {owners[0]}"


def test_help_shows_groups_in_the_order_of_use(capsys):
    assert run(["fit", "--help"]) == 0
    shown = re.findall(r"╭─ (.*?) ─", capsys.readouterr().out)
    alone = {owners[0] for name in NAMES if len(owners := [family for family, own in OWNED if own == name]) == 1}
    own = [f"Hidden weights: settings of {family}" for family in FAMILIES if family in alone]
    assert shown == ["Parameters", "Data", "Convex program", "Hidden weights: settings of several families", *own]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--width", "5", "--witnesses", "gaussian"], "--width has no effect on --witnesses gaussian"),
        (["--branches", "3"], "it is a setting of gaussian, heterogeneous, reservoir, surrogate"),
        (["--witnesses", "gausian"], "Did you mean 'gaussian'?"),
        (["--witnesses", "exact+gaussian"], "must stand alone"),
        (["--witnesses", "gaussian", "--depth", "2", "--hidden", "8"], "hidden has no effect with depth=2"),
        (["--readout", "analog"], "readout 'analog' is no sum of spikes"),
        (["--readout", "spikes"], "--readout"),
        (["--seconds", "3", "--effort", "1e6"], "seconds takes the place of effort"),
        (["--memory-range", "1", "--witnesses", "heterogeneous"], "--memory-range"),
        (["--epochs", "many", "--witnesses", "surrogate"], "--epochs"),
    ],
)
def test_what_cannot_be_is_refused_before_data_are_loaded(words, message, tmp_path, capsys):
    assert run(["fit", "--task", "first-last-xor", *words, "--out", str(tmp_path / "m")]) == 2
    captured = capsys.readouterr()
    assert message in " ".join((captured.err + captured.out).split())
    assert not (tmp_path / "m").exists()
