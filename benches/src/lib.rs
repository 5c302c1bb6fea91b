//! Thin for now.
