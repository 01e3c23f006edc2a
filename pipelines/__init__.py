"""The composition: stages, the flow, the registry, the rollout and the command line."""
