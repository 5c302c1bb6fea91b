//! Every check of an auditor, as pure functions (spec 9).
