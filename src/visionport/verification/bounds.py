"""How far an artifact's answers may be from its source's, each bound with its reason."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Largest differences that rounding explains."""

    raw: float  # of a tensor, times its standard deviation; at least, as an absolute difference, `floor`
    floor: float
    score: float  # of a matched answer, from 0 to 1
    place: float  # of its corners or points, normalised
    matched: float  # share of answers that must have their twin
    judged: bool = True  # False: what is measured is reported; rounding alone may explain any of it
    noise: float = 0.0  # what is not judged must still be nearer than this, times the standard deviation, on average
    moved: float = 0.0  # not 0: judged by what moving the picture so far, of 255, does to the source itself
    listed: bool = False  # raw tensors are lists, whose rows may change places: see checks.py: compare_lists


# The same operations in the same runtime. An overlap at the threshold of non-maximum suppression may fall either way,
# so one detection in twenty may be another.
SAME_OPERATIONS = Tolerance(raw=1e-5, floor=1e-5, score=1e-5, place=1e-5, matched=0.95)

# Another runtime, with other kernels, and batch norms folded into weights.
OTHER_RUNTIME = Tolerance(raw=1e-4, floor=1e-5, score=1e-4, place=1e-4, matched=0.95)

# The same of models that choose proposals first: of two with nearly equal scores rounding decides which comes first or
# is chosen at all, and what is listed by proposal changes places with them. The rows are compared wherever they are.
OTHER_RUNTIME_PROPOSALS = replace(OTHER_RUNTIME, listed=True)

# A network with fake quantisation rounds after every layer, and a rounding that falls the other way moves all that
# follows. How far depends on the network, so its checkpoint is asked again about a moved picture: median and 99th
# percentile of raw heads may differ by twice what that does, and twice as many detections may be without a twin.
NOISE = 2
# Moved by what the order of operations in float32 does.
FAKE_QUANTIZED = Tolerance(raw=0, floor=1e-5, score=0.02, place=0.02, matched=0.95, moved=1e-4)
# Other kernels flip as many roundings as can be. Moving the picture does so from 1e-3 on, and no more of them at 1e-2.
OTHER_RUNTIME_FAKE_QUANTIZED = replace(FAKE_QUANTIZED, moved=1e-3)

# What quantised files lose, and pixels rounded after resizing, depends on the model and the picture. It is reported,
# with a twin counted where score and box are what a user would call the same; the task's metric on labelled pictures
# is the judge. What is judged all the same is whether the file answers the question at all: a tensor that has nothing
# to do with the source's is 1.4 standard deviations away from it on average, one of zeros at least 1.
ANSWERS_AT_ALL = 0.7
QUANTIZED = {
    # A uint8 input: pixels rounded after resizing.
    "pixels": Tolerance(raw=1e-2, floor=1e-2, score=0.02, place=0.02, matched=0.95, judged=False, noise=ANSWERS_AT_ALL),
    # A quantisation-aware checkpoint's own 8 bits: the same roundings, and those of pixels.
    "trained": Tolerance(raw=0, floor=1e-2, score=0.1, place=0.05, matched=0.95, moved=0.5),
    **dict.fromkeys(
        ("float16", "uint16"),
        Tolerance(raw=1e-2, floor=1e-3, score=0.02, place=0.01, matched=0.95, judged=False, noise=ANSWERS_AT_ALL),
    ),
    **dict.fromkeys(
        ("dynamic", "int8", "uint8", "int16x8"),
        Tolerance(raw=1e-1, floor=1e-2, score=0.1, place=0.05, matched=0.9, judged=False, noise=ANSWERS_AT_ALL),
    ),
}
CLEAR = 0.5  # scores that no rounding makes or unmakes
# Of the clear answers of a source, or of what a file that differs by design gives, these must have their twin.
CLEAR_MATCHED = 0.5
KEPT_BY_DESIGN = 0.8

# What the metric of a task, from 0 to 1, may fall by on labelled pictures, for what rounds a file ("": nothing does).
METRIC_LOST = {"": 0.002, "pixels": 0.005, "float16": 0.005, "uint16": 0.005}
METRIC_LOST |= dict.fromkeys(("dynamic", "int8", "int16x8", "uint8", "trained"), 0.02)
