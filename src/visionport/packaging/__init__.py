"""An export as model servers take it: a layout, its config, warm-up requests, a README, and a check of all of it."""
