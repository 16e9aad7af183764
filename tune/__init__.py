"""Search space to trials, study and best bundle: Ray Tune steered by Optuna."""
