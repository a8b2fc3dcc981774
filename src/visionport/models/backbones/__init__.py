"""Backbones: classification networks and the like, without heads.

Those of TF Official Vision are chosen by the type of their config. Each is a module with a function of its own name,
`(s, x, config) -> {level or endpoint: feature map}`, and `names(config) -> {canonical scope: path below the backbone}`.
"""

import importlib
from types import ModuleType

# The config's type (in config.backbones) -> module.
BACKBONES = {
    "ResNet": "resnet",
    "DilatedResNet": "dilated_resnet",
    "RevNet": "revnet",
    "ResNet3D": "resnet_3d",
    "EfficientNet": "efficientnet",
    "MobileNet": "mobilenet",
    "MobileDet": "mobiledet",
    "SpineNet": "spinenet",
    "SpineNetMobile": "spinenet_mobile",
    "Vit": "vit",
}

# Of most of them.
LEVELS = ("2", "3", "4", "5")


def backbone(s, x, config) -> dict:
    """Feature maps by level as text ("2" to "7") or by endpoint. x: float32 [b, h, w, 3] or [b, frames, h, w, 3]."""
    module = module_of(config)
    return getattr(module, BACKBONES[type(config).__name__])(s, x, config)


def names(config) -> dict[str, str]:
    """Canonical scope -> object path, both below the backbone."""
    return module_of(config).names(config)


def levels(config) -> dict[str, int | None]:
    """The levels that a decoder may take, and their widths, None where a decoder need not know."""
    module = module_of(config)
    return module.levels(config) if hasattr(module, "levels") else dict.fromkeys(LEVELS)


def module_of(config) -> ModuleType:
    return importlib.import_module(f"visionport.models.backbones.{BACKBONES[type(config).__name__]}")
