"""OpenVINO's model.xml: what is made of one before OpenVINO sees it, in another process first."""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

from telling import READING, TOLD, read_told

from visionport.formats import format_of
from visionport.formats.openvino.ir import weights_of
from visionport.inspection import openvino
from visionport.inspection.inspect import kind_of

SUFFIX = ".xml"
FORMAT = format_of("openvino")
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
RECORD = f"<visionport><record value={quoteattr(json.dumps(TOLD))} /></visionport></rt_info>"
BRANCH = """<layer id="3" name="if" type="If" version="opset8">
			<then_body><layers><layer id="0" name="w" type="Const" version="opset1">
				<data element_type="i8" shape="4" offset="0" size="4" />
			</layer></layers></then_body>
		</layer>
	</layers>"""
SEEDS = (
    LAYERS.encode(),
    LAYERS.replace("</rt_info>", RECORD).encode(),
    LAYERS.replace("</layers>", BRANCH, 1).encode(),
)
WEIGHTS = bytes(64)


def read(path: Path) -> None:
    """Shown as text, and what it says of how it is asked."""
    from rich.console import Console

    weights_of(path).write_bytes(WEIGHTS)
    kind_of(path)
    FORMAT.recognises(path)
    with open("/dev/null", "w") as nowhere:
        Console(file=nowhere, width=100).print(openvino.render(openvino.describe(path)))
    FORMAT.check_foreign(path)
    FORMAT.signatures(path, READING)
    FORMAT.precision(path)
    read_told(FORMAT, path)
