"""What the agent learns from and answers with: schema, artifacts, the one prompt builder, sources and the corpus."""
