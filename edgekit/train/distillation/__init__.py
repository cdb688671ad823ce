"""Knowledge distillation: one small file for each loss, and the objective that puts them together."""
