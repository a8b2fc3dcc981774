"""The scripts that people have in their notes, by their old names and flags: `python -m visionport.scripts.NAME`.

Each is a table of flags (`FLAGS`) and one call. docs/migrate.md says what each flag is here; a test compares the two.
"""

import sys

from visionport import signals

if sys.argv[:1] == ["-m"]:  # Python is looking for the script that is to run
    signals.take()

NAMES = (
    "exporter_main_v2",
    "export_inference_graph",
    "export_tflite_graph_tf2",
    "export_tflite_ssd_graph",
    "freeze_graph",
    "export_saved_model",
    "export_tflite",
    "export_tfhub",
)
