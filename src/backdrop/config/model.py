"""The configuration as pydantic models: every key, its type and what it means. No logic."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Axis",
    "Closure",
    "Configuration",
    "Fit",
    "Input",
    "Label",
    "Method",
    "Predicted",
    "Process",
    "Seal",
    "Shift",
    "Variable",
    "Variation",
]

SAMPLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$"

SampleName = Annotated[str, Field(pattern=SAMPLE, max_length=100)]
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Texts = Annotated[
    list[Text],
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given, json_schema_input_type=str | list[str]),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Closed(BaseModel):
    """Settings that allow no other key and turn no text into a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Label(_Closed):
    """What plots say about the experiment."""

    experiment: str = Field("", description="The experiment's name, printed in bold.")
    status: str = Field("", description="Printed after it: Preliminary, Simulation, ...")
    lumi: Finite | None = Field(None, gt=0, description="Integrated luminosity in 1/fb.")
    com: Finite | None = Field(None, gt=0, description="Centre-of-mass energy in TeV.")


class Input(_Closed):
    """The files of one sample."""

    files: Texts = Field(
        min_length=1,
        description="Path, glob or list of them (ROOT, Parquet, CSV; 'file.root:tree' names a tree); relative paths "
        "start at the configuration's folder.",
    )
    tree: Text | None = Field(None, description="Tree or RNTuple of ROOT files.")
    weight: Text | None = Field(None, description="Column of event weights; without it every weight is 1.")
    keys: list[Text] = Field([], description="Integer columns that identify an event, such as run and event.")
    columns: list[Text] | None = Field(None, description="Columns to read; without it those that are needed.")
    fill: dict[Text, Finite] = Field({}, description="Value for missing entries of a column.")
    rename: dict[Text, Text] = Field({}, description="Column's name here: its name in the file.")
    cut: Text | None = Field(
        None,
        description="Region of the rows that belong to the sample, such as simulated events whose leptons are all "
        "prompt; the others are not used. A name, or names combined as '{A} & ~{B}'.",
    )


class Synthetic(_Closed):
    """Samples that are drawn instead of read."""

    name: Text = Field(description="A row of backdrop.synthetic.SAMPLES.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Seed of the draw; without it the analysis' own.")
    settings: dict[Text, Any] = Field({}, description="Arguments of the generator.")


class Predicted(_Closed):
    """A sample that a method predicts: charge flips, to be subtracted where fakes are measured and applied."""

    method: Name = Field(description="The method; all rows that it weights or draws are the sample.")
    columns: dict[Text, Text] = Field(
        {},
        description="Columns that the predicted rows have instead of their own: name and expression, such as "
        "'same_sign: true' for same-sign pairs made of opposite-sign ones.",
    )


class Seal(_Closed):
    """Rows that are not read."""

    sample: SampleName = Field(description="The sample whose rows are sealed.")
    region: Text = Field(description="The region: a name, or names combined as '{SR} & {tight}'.")
    reveal: list[Text] = Field([], description="Columns whose values stay readable, of all rows.")


class Shift(_Closed):
    """What one side of a variation changes."""

    events: Text | None = Field(None, description="Other events, such as 'data - 1.1 * prompt'.")
    settings: dict[Text, Any] = Field({}, description="Settings of the method that are replaced.")


class Variation(Shift):
    """A systematic: one change, mirrored, or an up and a down change."""

    up: Shift | None = Field(None, description="The change that makes the up variation.")
    down: Shift | None = Field(None, description="The change that makes the down variation.")
    purpose: str = Field("", description="What it is for, as the table of systematics says: 'fake composition'.")


class Method(_Closed):
    """A background method and the events it sees."""

    type: Text = Field(description="A row of backdrop.methods.METHODS; 'backdrop methods' lists them.")
    events: Text = Field(description="Samples with signs and factors, such as 'data - 1.0 * prompt'.")
    settings: dict[Text, Any] = Field({}, description="The method's own settings; 'backdrop methods NAME' lists them.")
    variations: dict[Name, Variation] = Field({}, description="Systematics by name.")
    channels: list[Name] | None = Field(None, min_length=1, description="Its channels; without it all of them.")
    process: str = Field("", description="What it estimates, such as 'fakes': methods of one process are compared.")


class Axis(_Closed):
    """An axis of a histogram: bins and range, or edges."""

    column: Text = Field(description="The column that is binned.")
    bins: int | None = Field(None, ge=1, le=100_000, description="How many bins of equal width; needs 'range'.")
    range: list[Finite] | None = Field(None, min_length=2, max_length=2, description="Lower and upper end.")
    edges: list[Finite] | None = Field(None, min_length=2, description="Bin edges, increasing.")
    label: str | None = Field(None, description="Printed at the axis, with the unit: 'm_{jj} [GeV]'.")


class Variable(Axis):
    """A further column in which prediction and observation are compared."""

    channels: list[Name] | None = Field(
        None, min_length=1, description="The channels; without it those with a closure test."
    )
    methods: list[Name] | None = Field(None, min_length=1, description="The methods; without it all of them.")


class Channel(_Closed):
    """A binned region."""

    region: Text = Field(description="The region: a name, or names combined as '{SR} & {tight}'.")
    axes: list[Axis] = Field(min_length=1, max_length=5, description="The axes; a single one is a list of one.")


class Closure(_Closed):
    """A channel in which prediction and observation are compared."""

    channel: Name = Field(description="The channel, whose observed rows must not be sealed.")
    methods: list[Name] | None = Field(None, description="The methods; without it all of them.")
    as_variation: bool = Field(False, description="Add the difference to the estimate as a systematic.")
    smooth: int | None = Field(None, ge=1, description="Smooth that difference over so many bins.")


class Process(_Closed):
    """A process beside the estimate in the fit: from simulation, or from another method."""

    events: Text | None = Field(None, description="Samples with signs and factors, such as '1.2 * ttbar'.")
    method: Name | None = Field(None, description="A method whose estimate it is, instead of 'events'.")
    free: Finite | None = Field(
        None,
        gt=0,
        description="Its normalisation is free: the relative change that a method's variation of the same name stands "
        "for, 0.1 where up is 'data - 1.1 * diboson'; without such a variation any number.",
    )
    variations: dict[Name, Variation] = Field(
        {}, description="Systematics by name (events only); a name that a method also has is one nuisance."
    )


class Fit(_Closed):
    """The likelihood fit."""

    data: SampleName = Field(description="The sample of observed events.")
    channels: list[Name] = Field(min_length=1, description="Channels of the fit; sealed ones enter as Asimov data.")
    methods: list[Name] | None = Field(None, description="Methods to fit with, one fit each; without it all of them.")
    backgrounds: dict[Name, Process] = Field({}, description="Processes beside the estimate.")
    empty: Finite | None = Field(None, gt=0, description="Events in bins that expect none; without it an error.")
    toys: int = Field(
        0,
        ge=0,
        le=100_000,
        description="How many times it is repeated on samples that 'synthetic' draws anew, for the pulls of the signal "
        "strength.",
    )


class Configuration(_Closed):
    """One analysis, from files to report."""

    name: Name = Field(description="Short name of the analysis.")
    title: str = Field("", description="Title of the report.")
    notes: str = Field("", description="Text for the reader of the report.")
    seed: int = Field(ge=0, lt=2**63, description="Root of all random streams.")
    replicas: int = Field(0, ge=0, le=100_000, description="How many resampled fits give the statistical uncertainty.")
    label: Label = Field(Label(), description="What plots say about the experiment.")
    inputs: dict[SampleName, Input] = Field({}, description="Samples that are read, by name.")
    lazy: bool = Field(False, description="Read files in chunks, never as a whole: for more than fits in memory.")
    synthetic: Synthetic | None = Field(None, description="Samples that are drawn, instead of 'inputs'.")
    predicted: dict[SampleName, Predicted] = Field({}, description="Samples that methods predict, by name.")
    derived: dict[Text, Text] = Field({}, description="Columns computed from others: name and expression.")
    regions: dict[Name, Text] = Field({}, description="Cuts by name; '{A} & ~{B}' stands for other regions' cuts.")
    seal: list[Seal] = Field([], description="Rows that are not read.")
    methods: dict[Name, Method] = Field(min_length=1, description="Background methods by name.")
    channels: dict[Name, Channel] = Field(min_length=1, description="Binned regions by name.")
    closures: list[Closure] = Field([], description="Where prediction and observation are compared.")
    variables: list[Variable] = Field(
        [],
        description="Columns that are compared as well, without a channel's own cuts on them (N-1) and outside the "
        "seals; they cost one more fit of each method.",
    )
    signal: Text | None = Field(None, description="Signal of the fit: samples with factors, from simulation.")
    fit: Fit | None = Field(None, description="The likelihood fit; without it none is done.")
