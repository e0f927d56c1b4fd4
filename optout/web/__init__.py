"""The local web service: decisions, proofs and the dashboard."""
