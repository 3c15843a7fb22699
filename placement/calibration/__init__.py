"""What past runs say of the step model's figures: samples, the fit, and what plans take from it."""
