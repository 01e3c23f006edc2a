"""One strict YAML for each way of running the whole pipeline."""
