"""OpenVINO's model.xml as `visionport inspect` reads it, OpenVINO left out."""

from pathlib import Path

from visionport.formats.openvino.ir import weights_of
from visionport.inspection import openvino

SUFFIX = ".xml"
LAYERS = """<?xml version="1.0"?>
<net name="small" version="11">
	<layers>
		<layer id="0" name="x" type="Parameter" version="opset1">
			<data shape="1,?,3" element_type="f32" />
			<output><port id="0" precision="FP32" names="x"><dim>1</dim><dim>-1</dim><dim>3</dim></port></output>
		</layer>
		<layer id="1" name="w" type="Const" version="opset1">
			<data element_type="f32" shape="2, 3" offset="8" size="24" />
			<output><port id="0" precision="FP32"><dim>2</dim><dim>3</dim></port></output>
		</layer>
		<layer id="2" name="y" type="Result" version="opset1" output_names="y">
			<input><port id="0" precision="FP32"><dim>1</dim><dim>-1</dim><dim>3</dim></port></input>
		</layer>
	</layers>
	<edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0" /></edges>
	<rt_info><model_info><labels value="cat dog" /></model_info></rt_info>
</net>
"""
SEEDS = (LAYERS.encode(),)
WEIGHTS = bytes(64)


def read(path: Path) -> None:
    """Shown as text."""
    from rich.console import Console

    weights_of(path).write_bytes(WEIGHTS)
    facts = openvino.describe(path)
    with open("/dev/null", "w") as nowhere:
        Console(file=nowhere, width=100).print(openvino.render(facts))
