//! Pulling an image from a registry.
