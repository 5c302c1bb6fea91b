//! How parties reach each other: HTTP clients whose TLS trusts one pinned key, and nothing else.
#![forbid(unsafe_code)]
