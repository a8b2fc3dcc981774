"""An export as model servers take it: a layout, its config, warm-up requests, a README, and a check of all of it."""

# What --for takes -> the module that writes its layout.
TARGETS = {
    "tf-serving": "visionport.packaging.tf_serving",
    "sagemaker": "visionport.packaging.sagemaker",
    "triton": "visionport.packaging.triton",
    "kserve": "visionport.packaging.kserve",
    "vertex": "visionport.packaging.vertex",
}
