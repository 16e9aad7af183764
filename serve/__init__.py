"""Bundle to HTTP: a predictor that knows no Ray, an app that knows little else, a client that knows no torch."""
