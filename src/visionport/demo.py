"""The bundled digits detectors through everything: `visionport demo`."""

from importlib import resources
from pathlib import Path

from visionport.inputs.pictures import example
from visionport.options import FORMATS, Options


def run(out: Path, *, model: str = "tf2", overwrite: bool, run_export) -> None:
    """Exports to every format, verifies, draws, and says where to look. model: tf2 or tf1, a folder."""
    with resources.as_file(example("digits")) as digits:
        pictures = tuple(sorted((digits / "images").glob("*.jpg")))
        options = Options(
            config=digits / model / "pipeline.config",
            checkpoint=digits / model,
            out=out,
            formats=FORMATS,
            inputs=("image_tensor", "encoded_image_string_tensor"),
            labels=digits / "label_map.pbtxt",
            images=pictures,
            overwrite=overwrite,
        )
        run_export(options)
        from visionport.prediction import predict

        drawn = predict(out, pictures[:1], draw=True, draw_dir=out)[0]
    found = ", ".join(f"{d['label']} {d['score']:.2f}" for d in drawn["detections"])
    print(f"\nFound in {Path(drawn['image']).name}: {found}.")
    print(f"Look at   {drawn['drawn']}\nand open  {out / 'report.html'}")
