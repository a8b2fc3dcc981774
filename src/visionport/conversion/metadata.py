"""What a converted file says of itself: how its image is normalised, and which class each number is of."""

from visionport.conversion.inputs import channels
from visionport.conversion.network import Network
from visionport.tflite import metadata


class Told:
    """The metadata of a file to be. incomplete: what readers would miss; "" for nothing.

    Without an image whose normalisation is known and without labels there is none.
    """

    def __init__(self, network: Network, function, request):
        """function: the traced one. Raises OptionError where the labels are of no output."""
        self.image, self.name = image_of(network, request), request.out.stem
        self.pixels = "uint8" in (request.input_type, request.integer)
        self.labels, self.outputs = "", {}
        if request.labels:
            shapes = zip(network.outputs, (t.shape for t in function.outputs), strict=True)
            sizes = {key: tuple(s.as_list()) if s.rank else () for (key, _), s in shapes}
            self.labels, self.outputs = metadata.label_outputs(request.labels, sizes)
        self.incomplete = self._incomplete(network)

    def _incomplete(self, network: Network) -> str:
        (image, *_), told = network.inputs, self.image
        if not self.labels or not any(g.is_image for g in network.inputs):
            return ""
        if not told:
            return (
                "the file does not say how pixels are normalised, so that readers such as MediaPipe refuse it. That "
                "takes one image of a fixed size, and --mean and --std."
            )
        if len(set(told.mean)) + len(set(told.std)) > 2 and not self.pixels:
            return (
                f"MediaPipe does not normalise {image.key} by numbers that differ by channel. With --input-type uint8 "
                "the file does it itself."
            )
        return ""

    def added(self, data: bytes) -> bytes:
        """The file with it."""
        if not self.image and not self.labels:
            return data
        about = {"name": self.name, "description": f"{self.name}, converted from TensorFlow"}
        return metadata.add(data, **about, image=self.image, labels=self.labels, outputs=self.outputs)


def image_of(network: Network, request) -> metadata.Image | None:
    """The only input, where it is one image of a fixed size and its normalisation is known."""
    (image, *more) = network.inputs
    known = request.mean or image.dtype == "uint8"
    if more or not image.is_image or None in image.shape or image.shape[0] != 1 or not known:
        return None
    mean, std = (channels(image, v) for v in ((request.mean or (0.0,)), (request.std or (1.0,))))
    return metadata.Image(name=image.key, mean=mean, std=std, grayscale=image.shape[3] == 1)
