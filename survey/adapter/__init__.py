"""What all adapters of the survey share: the protocol, and the gate's cases as PyTorch modules and JAX functions."""
