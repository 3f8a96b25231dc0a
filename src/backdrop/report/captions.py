"""What to look for in each kind of figure."""

from __future__ import annotations

__all__: list[str] = []

CLOSURE = (
    "Points within the band over the whole range, no slope in the ratio, and pulls scattered around zero, a third of "
    "them beyond the inner band and without runs of one sign. Error bars are Poisson (Garwood) for counts, the band is "
    "the total uncertainty of the prediction; arrows point to values off a panel."
)
OPEN = "Where the uncertainty grows, and whether its systematic part (hatched) outgrows the statistical one (grey)."
SEALED = (
    "The channel is sealed: the prediction stands alone. The lower panel shows how large its uncertainty is, and where "
    "the systematic part (hatched) outgrows the statistical one (grey)."
)
COMPARED = (
    "Whether the methods agree within their total uncertainties bin by bin. Methods that share events should differ by "
    "less than the bars suggest; a common slope against the first one is a shape uncertainty."
)
FACTORS = (
    "A smooth dependence that the bins resolve: neighbours that differ by many errors ask for finer bins, poor bins "
    "for merging. Systematics (thin bars, or lines up solid and down dashed) that change the shape are a change of "
    "composition, not of normalisation."
)
GRAPH = (
    "A box is a histogram, its variables are drawn together; an arrow leads from a variable to the histogram that is "
    "projected at its value. Any correlation without an arrow is not in the prediction: compare the matrices."
)
PLANE = (
    "Pulls without a pattern: of mean zero and width one in the bins that were fitted, and in those that were not, "
    "where they are open (bins of few events pull upwards, since the error is that of what was seen). A block of one "
    "colour is a structure that the process smooths away; its error should grow in the gap and at the edges alone. The "
    "frame is around the gap; hatched bins are sealed, or not all there."
)
PAIRS = (
    "The same shapes on both sides of the diagonal, mirrored: below it observed events, above it drawn ones, darker "
    "where there are more. An edge or an island on one side alone is not learnt, or made up."
)
LAYERS = (
    "One flow of the ensemble, from normal numbers at the left to the features at the right: changes that become small "
    "towards the end. A last layer that still changes much is needed; layers that change nothing could be left out."
)
SHIFTS = "Which systematic dominates where; shapes that are one-sided or jump from bin to bin hint at noise in it."
COMPONENTS = (
    "How many independent shapes the resampled fits have: one smooth component is a normalisation, many small ones are "
    "statistical scatter. Shares are of the variance in units of each bin's Poisson variance."
)
REPLICAS = (
    "A normal shape with its mean near zero: if it is not, resampled fits are biased; an outlier is a fit that failed."
)
CORRELATION = "Blocks of one colour are bins that move together; white bins off the diagonal are independent."
LIMITS = "Whether the observed limit lies within the expected bands, and how the methods' sensitivities compare."
NUISANCES = (
    "Pulls within one or two units, bars not much shorter than one (the data constrain such a parameter), and which of "
    "them move the signal strength."
)
PULLS = (
    "Samples drawn anew, each estimated and fitted as these were. Their mean is zero where they hold no signal: "
    "another one is a spurious signal, in units of its error. A width below one: prediction and data share events."
)
POSTFIT = (
    "Observed yields on the fitted sum within its band; a pattern in the ratio is a shape that no parameter covers."
)
POSTFIT_SEALED = "No data in this channel: only the expectation is drawn."
REGIONS = (
    "Every pair of sets, decided from the cuts alone: a colour in the row of an observed set that meets a training set "
    "means that the test sees the rows it was made from; two channels of one fit must be disjoint; only what is "
    "written in red may meet a sealed set."
)
VARIABLE = "Points within the band: a slope says that the variable is not modelled. Hatched bins are sealed."
VARIABLE_CUT = (
    "Points within the band on both sides of the dashed lines, where the channel's own cuts on this variable stand: a "
    "step there says that the cut works differently in data and prediction, a slope that the variable is not modelled. "
    "Hatched bins are sealed."
)
CORRELATIONS = (
    "The same pattern on the left and in the middle; a difference beyond three errors is a dependence that the "
    "prediction does not carry, and a classifier that uses these variables will see it."
)
