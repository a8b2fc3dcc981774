"""What may be asked of a SavedModel."""

from dataclasses import dataclass
from pathlib import Path

from visionport.errors import OptionError
from visionport.formats.options import option


@dataclass(frozen=True, kw_only=True)
class SavedModelOptions:
    """Each of them is for `--format saved_model` alone."""

    tpu_alias: bool = option(
        False, "Mark the SavedModel's functions for TPU serving, by the alias tpu_candidate, as Official Vision does."
    )
    saved_model_dir: str = option(
        "saved_model", "Put the SavedModel into this folder of the export; . for the export itself.", kind=str
    )

    def check_saved_model(self, formats: tuple[str, ...]) -> None:
        """Raises OptionError without a SavedModel, or for a folder that is not in the export."""
        if self.tpu_alias and "saved_model" not in formats:
            raise OptionError("--tpu-alias is for SavedModels: add --format saved_model.")
        if ".." in Path(self.saved_model_dir).parts or Path(self.saved_model_dir).is_absolute():
            raise OptionError(f"--saved-model-dir {self.saved_model_dir}: a folder in the export, such as saved_model.")
