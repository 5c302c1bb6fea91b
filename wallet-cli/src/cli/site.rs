//! `annona-wallet site`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Desk, Done, Report,
    holder::{At, Holder, announced},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Notes a site's address. Its key comes from the programme: a wrong address gets nothing.
    Add {
        /// The site: its number or name.
        #[arg(value_name = "SITE")]
        site: String,
        /// Its address, such as https://192.168.1.10:8443.
        #[arg(value_name = "URL")]
        url: String,
    },
    /// The programme's sites, with the addresses that are known.
    List,
}

impl Command {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        match self {
            Self::Add { site, url } => add(desk, &site, &url),
            Self::List => list(desk),
        }
    }
}

fn add(desk: &mut Desk, site: &str, url: &str) -> Done {
    let stored = desk.open()?;
    let mut holder = Holder::known(desk, stored, At { site: Some(site), url: Some(url) })?;
    let id = holder.site(Some(site))?;
    holder.save()?;
    let mut report = Report::default();
    let name = desk.site_name(holder.programme().latest(), id);
    report.line(desk.say("site-added", &[("site", name.into()), ("url", url.into())]));
    report.set("site", id.0);
    report.set("url", url);
    Ok(report)
}

fn list(desk: &mut Desk) -> Done {
    let stored = desk.open()?;
    let membership = stored.membership()?;
    let programme = announced(membership)?;
    let header = programme.latest();
    let mut report = Report::default();
    let mut sites: Vec<Value> = Vec::new();
    for site in &header.sites {
        let url = membership.sites.get(&site.id);
        let places = [
            ("number", site.id.0.into()),
            ("site", desk.site_name(header, site.id).into()),
            ("url", url.map_or("", String::as_str).into()),
        ];
        report.line(desk.say(if url.is_some() { "site-known" } else { "site-unknown" }, &places));
        sites.push(json!({ "site": site.id.0, "name": site.name, "url": url }));
    }
    report.set("sites", sites);
    Ok(report)
}
