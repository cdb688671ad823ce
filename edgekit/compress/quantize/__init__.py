"""Post-training quantisation: ranges from calibration data, borders between integer and float, bias correction."""
