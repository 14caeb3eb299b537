"""Kubernetes manifests; what of them is generated, and from what, is in `generate.py`."""
