"""What comes in: input types, preprocessing, pictures, side inputs, calibration."""
