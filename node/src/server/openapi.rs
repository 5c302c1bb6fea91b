//! The OpenAPI document's common parts; the rest is at the handlers.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, InfoBuilder, KnownFormat, ObjectBuilder, OpenApiBuilder, Ref, RefOr,
        Response, ResponseBuilder, SchemaFormat,
        schema::{Schema, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    operators::Role,
    problem::{self, MESSAGE_TYPE, PROBLEM_TYPE},
};

/// A message of the protocol in its encoding (wire.md).
#[derive(Debug)]
pub(super) struct Bytes;

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        RefOr::T(ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).build().into())
    }
}

impl ToSchema for Bytes {}

/// What any request may be refused with.
pub(super) struct PublicProblems;
/// What an operator's request may be refused with.
pub(super) struct OperatorProblems;
/// A signed word that a session is gone, or a problem.
pub(super) struct Gone;
/// A signed slip that refuses a visit.
pub(super) struct Slip;

/// Refused as anything may be: 409, 422 say what the party's own rules refuse.
const PUBLIC: &[(&str, &str)] = &[
    ("400", "The request or the message cannot be understood"),
    ("404", "There is nothing here"),
    ("405", "This path has other methods"),
    ("408", "The request took too long to arrive"),
    ("409", "The party's state does not allow it"),
    ("413", "The body is longer than its message can be"),
    ("415", "Another content type"),
    ("422", "What was sent does not hold"),
    ("429", "Too fast; see Retry-After"),
    ("500", "The server failed"),
    ("503", "Busy; see Retry-After"),
];
const OPERATORS: &[(&str, &str)] = &[("401", "No valid token"), ("403", "Not this role's")];

fn refused(description: &str) -> ResponseBuilder {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_TYPE, problem)
}

fn signed(status: &str, description: &str) -> BTreeMap<String, RefOr<Response>> {
    let message = ContentBuilder::new().schema(Some(Bytes::schema())).build();
    let response = refused(description).content(MESSAGE_TYPE, message).build();
    BTreeMap::from([(status.to_owned(), RefOr::T(response))])
}

fn responses<'a>(list: impl Iterator<Item = &'a (&'a str, &'a str)>) -> BTreeMap<String, RefOr<Response>> {
    list.map(|(status, description)| ((*status).to_owned(), RefOr::T(refused(description).build()))).collect()
}

impl IntoResponses for PublicProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(PUBLIC.iter())
    }
}

impl IntoResponses for OperatorProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(PUBLIC.iter().chain(OPERATORS))
    }
}

impl IntoResponses for Gone {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        signed("409", "A SessionGone message, with the header annona-code; or a problem")
    }
}

impl IntoResponses for Slip {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        signed("422", "A RefusalSlip message, with its code in the header annona-code; or a problem")
    }
}

/// The document without its paths.
pub(super) fn base(title: &str) -> OpenApiRouter {
    let mut components = ComponentsBuilder::new().schema_from::<problem::Body>();
    for role in [Role::Caseworker, Role::Distributor, Role::Supervisor] {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(format!("The token of a {role}. Roles are separate: none has another's rights.")));
        components = components.security_scheme(role.name(), SecurityScheme::Http(bearer.build()));
    }
    let info = InfoBuilder::new().title(title).version(env!("CARGO_PKG_VERSION")).description(Some(
        "Bodies of protocol messages are specified in spec/wire.md, refusal codes in spec/registry.md.",
    ));
    let document = OpenApiBuilder::new().info(info.build()).components(Some(components.build())).build();
    OpenApiRouter::with_openapi(document)
}
