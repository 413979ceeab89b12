"""`convexsnn fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from convexsnn.cli import INTERRUPTED, output, torchrun
from convexsnn.cli.options import DataOptions, Force, Json, ProgramOptions
from convexsnn.cli.settings_file import settings_text
from convexsnn.cli.starting import loading
from convexsnn.cli.witness_options import WitnessOptions, family_from_options, given_options


def fit(
    *,
    out: Path,
    config: Path | None = None,
    source: DataOptions | None = None,
    program: ProgramOptions | None = None,
    witnesses: str = "auto",
    settings: WitnessOptions | None = None,  # type: ignore[valid-type] - made from the families
    regression: Annotated[bool, Parameter(negative="")] = False,
    missing: Literal["refuse", "carry"] = "refuse",
    target: Literal["torch", "snntorch", "spikingjelly", "norse", "nir"] | None = None,
    until_proved: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    device: str = "cpu",
    force: Force = False,
    json: Json = False,
) -> int:
    """Train a network and write model.safetensors, certificate.json, metrics.json and settings.toml.

    Several betas add path.json. A search adds history.json, and keeps its state in search.safetensors, from which a
    killed fit goes on. Drawn neurons keep their columns in the folder columns until the fit ends, for the same purpose.
    until-proved keeps the state of its rounds in rounds.safetensors.
    `torchrun --nproc-per-node 2 -m convexsnn fit` shares the work among processes.

    Parameters
    ----------
    out : Path
        The files are written into this folder.
    config : Path, optional
        A TOML file with options by name, such as the settings.toml that every fit writes. Options on the command line
        count instead of those in the file.
    witnesses : str
        Hidden weights come from this family. auto is kernels for sequences of real numbers of 8 steps or more with one
        label each, and otherwise search. kernels are random neurons with delays. search finds neurons by the dual
        vector of the program. gaussian, heterogeneous and reservoir sample them. surrogate trains them by surrogate
        gradients first. exact covers all neurons of a kind, for little data. Several families are joined by +, as in
        surrogate+search.
    regression : bool
        The targets are real numbers (squared loss) instead of classes.
    missing : {"refuse", "carry"}
        Missing values are an error, or each is the last known value of its feature in the sequence.
    target : {"torch", "snntorch", "spikingjelly", "norse", "nir"}
        Training stays within what can be exported to this target. Settings that are not given then have the nearest
        values that it can express, and others are refused.
    until_proved : bool
        The network is proved right on words of every length, as `convexsnn prove` does. Words that it answers wrong are
        added to the training data, and it is trained anew, at most 10 times. The exit status is 1 without a proof.
    seed : int
        Data and hidden weights are drawn with this seed.
    device : str
        The work is done on this device: cpu, cuda, ...
    """
    del config  # what it says is in the options already
    source, program, settings = source or DataOptions(), program or ProgramOptions(), settings or WitnessOptions()
    parameters = program.parameters | {"missing": missing, "target": target, "device": device, "random_state": seed}
    if regression and parameters.pop("output_weights") is not None:
        raise ValueError("--output-weights is for classes, not for --regression")
    if not regression and parameters.pop("bypass"):
        raise ValueError("--bypass is for --regression, not for classes")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: name a folder")
    given_options(witnesses, settings)
    program.check()
    source.check(seed)
    if until_proved and (source.task is None or source.factored or regression or program.members > 1):
        raise ValueError("--until-proved needs --task, and cannot be given with --factored, --regression or --members")
    if torchrun.launched() and (until_proved or device != "cpu"):
        raise ValueError("--until-proved and --device need one process: start it without torchrun")
    with loading():
        from convexsnn.cli import fitting, proving
        from convexsnn.cli.loading import load_data
    parameters["witnesses"] = family_from_options(witnesses, settings)
    options = {"witnesses": witnesses, "regression": regression or None, "until_proved": until_proved or None}
    options |= {"missing": missing, "target": target, "seed": seed, "device": device}
    told = settings_text(source, program, settings, **options)
    if until_proved:
        report = proving.fit_until_proved(str(source.task), source.settings(seed), parameters, told, out, force=force)
    else:
        data = load_data(source, seed)
        parameters |= {"per_step": data.per_step} | ({} if data.timesteps is None else {"timesteps": data.timesteps})
        with torchrun.joined() as ranks:
            report = fitting.fit(data, parameters, told, out, regression=regression, force=force, ranks=ranks)
    if not torchrun.speaks():
        return 0
    if json:
        output.print_json(report)
    else:
        fitting.print_report(report, out)
    if until_proved and not json:
        proving.print_outcome(report["proof"])
    if report["interrupted"]:
        output.say(f"interrupted: the best network so far is in {out}", to=output.stderr)
        return INTERRUPTED
    return int(until_proved and report["proof"]["outcome"] != "proved")
