"""What is asked of a conversion to TFLite, checked before anything is read."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import staging
from visionport.errors import InputError, OptionError
from visionport.filetypes import check_name
from visionport.graph.sources import check_source
from visionport.inputs.calibration import Examples
from visionport.inputs.quantization import EIGHT_BITS
from visionport.tflite.kinds import CALIBRATED, QUANTIZATIONS

INPUT_TYPES = ("float", "uint8", "int8")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be converted, and how. Names are tensors' ("scores", "scores:0") or, of a signature, its keys'."""

    source: Any  # a path; or a concrete function, a tf.function or a Keras model
    out: Path
    tags: tuple[str, ...] = ()
    signature: str | None = None
    input_arrays: tuple[str, ...] = ()
    output_arrays: tuple[str, ...] = ()
    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # inputs fixed to values
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)  # "" where there is one input
    quantize: str = "none"
    quantize_exclude: tuple[str, ...] = ()  # TFLite ops, or regular expressions over layers' names, that stay float32
    calibration: Path | Examples | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    input_type: str | None = None
    labels: Path | None = None
    select_tf_ops: bool = False
    custom_ops: bool = False
    allow_unsafe_ops: bool = False  # those with effects outside of the graph
    verify: bool = True
    verify_input: Path | None = None  # an .npz with an array for every input
    overwrite: bool = False

    def check(self) -> None:
        """Raises OptionError for what is unknown or contradictory."""
        if self.quantize not in QUANTIZATIONS:
            raise OptionError(f"--quantize {self.quantize!r} is unknown. One of: {', '.join(QUANTIZATIONS)}.")
        if self.input_type not in (None, *INPUT_TYPES):
            raise OptionError(f"--input-type {self.input_type!r} is unknown. One of: {', '.join(INPUT_TYPES)}.")
        if self.calibration and self.quantize not in CALIBRATED:
            raise OptionError(f"--calibration is of no use to --quantize {self.quantize}; {', '.join(CALIBRATED)} are.")
        for option, path in (
            ("--calibration", self.calibration),
            ("--labels", self.labels),
            ("--verify-input", self.verify_input),
        ):
            if isinstance(path, Path) and not path.exists():
                kind = "folder or file" if option == "--calibration" else "file"
                raise InputError(f"{option} {path}: no such {kind}.")
        if self.verify_input and not self.verify:
            raise OptionError("--verify-input is of no use to --no-verify. Leave one out.")
        if self.quantize_exclude and self.quantize not in EIGHT_BITS:
            raise OptionError(f"--quantize-exclude is for --quantize int8 and uint8, not {self.quantize}.")
        self.check_pixels()
        for path in self.files:
            check_name(path)
        if isinstance(self.source, Path):
            check_source(self.source)
        staging.check_file(self.out, overwrite=self.overwrite, inputs=self.files)

    @property
    def files(self) -> list[Path]:
        """The files and folders that are read."""
        return [p for p in (self.source, self.calibration, self.labels, self.verify_input) if isinstance(p, Path)]

    def check_pixels(self) -> None:
        """What is asked of the input."""
        if len(self.mean) != len(self.std):
            raise OptionError("--mean and --std go together: (pixel - mean) / std, one number or one a channel.")
        if len(self.mean) not in (0, 1, 3):
            raise OptionError(f"--mean {','.join(map(str, self.mean))}: one number, or three: of red, green and blue.")
        if any(not s > 0 for s in self.std):
            raise OptionError(f"--std {','.join(map(str, self.std))}: above 0.")
        if self.input_type == "int8" and self.quantize != "int8":
            raise OptionError(f"--input-type int8 needs --quantize int8, not {self.quantize}.")
        if self.input_type == "uint8" and self.quantize == "int16x8":
            raise OptionError("--quantize int16x8 takes the source's own input type; leave out --input-type.")
        if self.quantize == "uint8" and self.input_type not in (None, "uint8"):
            raise OptionError("--quantize uint8 is int8 with a uint8 input; for another take --quantize int8.")

    @property
    def integer(self) -> str:
        """The type of the file's inputs and outputs where it is fully quantised and that is not the source's."""
        if self.quantize not in EIGHT_BITS:
            return ""
        kind = "uint8" if self.quantize == "uint8" else self.input_type
        return kind if kind in EIGHT_BITS else ""
