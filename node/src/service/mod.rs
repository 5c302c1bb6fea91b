//! What servers do with a request, on top of the store and without any HTTP: [`issuer`] and [`site`].

pub mod in_flight;
pub mod issuer;
pub mod site;
