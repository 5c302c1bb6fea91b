//! Everything that a programme published, audited.

use annona_protocol::{
    audit::{self, Finding, Party, Published, PublishedLog},
    ids::{ProgrammeId, SiteId},
    programme::KeyEntry,
    redeem::Surrender,
    slip::OpeningPack,
    wire::Message,
};

use super::{accept, refuse, verifier};
use crate::json::Json;

pub(super) fn evaluate(check: &str, inputs: &Json) -> Option<Json> {
    (check == "audit").then(|| run(inputs))
}

fn log(json: &Json) -> PublishedLog {
    PublishedLog {
        name: json.get("name").str().to_owned(),
        checkpoint: json.get("checkpoint").str().as_bytes().to_vec(),
        entries: json.get("entries").items().iter().map(Json::bytes).collect(),
    }
}

fn messages<M: Message>(json: &Json) -> Vec<M> {
    json.items().iter().map(|bytes| M::decode(&bytes.bytes()).expect("published messages decode")).collect()
}

fn run(inputs: &Json) -> Json {
    let published = Published {
        issuer: log(inputs.get("issuer")),
        sites: inputs.get("sites").items().iter().map(|site| (SiteId(site.get("site").integer()), log(site))).collect(),
        keys: messages::<KeyEntry>(inputs.get("keys")),
        packs: messages::<OpeningPack>(inputs.get("packs")),
        surrendered: messages::<Surrender>(inputs.get("surrendered")),
    };
    let programme = ProgrammeId(inputs.get("programme id").array());
    let report = audit::audit(programme, &published, &mut verifier(), &|_| {});
    let findings = Json::list(report.findings.iter().map(finding));
    if !report.findings.is_empty() {
        return refuse().with("findings", findings);
    }
    let number = |value: u64| Json::number(value);
    let sites = report.totals.sites.iter().map(|((round, site, line), totals)| {
        Json::object([
            ("round", Json::number(round.0)),
            ("site", Json::number(site.0)),
            ("line", Json::number(line.0)),
            ("redeemed", number(totals.redeemed.0)),
            ("voided", number(totals.voided.0)),
            ("owed", number(totals.owed.0)),
            ("collected", number(totals.collected.0)),
        ])
    });
    let drawn = report.totals.drawn.iter().map(|((round, line), totals)| {
        Json::object([
            ("round", Json::number(round.0)),
            ("line", Json::number(line.0)),
            ("drawn", number(totals.drawn.0)),
            ("bounded", number(totals.bounded.0)),
            ("granted", number(totals.granted.0)),
        ])
    });
    accept([
        ("sites", Json::list(sites)),
        ("drawn", Json::list(drawn)),
        ("enrolments", number(report.totals.enrolments)),
        ("amends", number(report.totals.amends)),
    ])
}

fn finding(finding: &Finding) -> Json {
    let party = match finding.party {
        Party::Issuer => "issuer".to_owned(),
        Party::Site(site) => format!("site {site}"),
        ref other => format!("{other:?}"),
    };
    Json::object([
        ("code", Json::text(finding.check.code())),
        ("party", Json::text(party)),
        ("leaf", finding.leaf.map_or(Json::Null, Json::number)),
    ])
}
