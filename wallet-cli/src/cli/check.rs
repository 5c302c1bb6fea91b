//! `annona-wallet check`: am I safe? Manifest, witnesses, logs, receipts, and the crowd that a visit hides in.

use std::{collections::BTreeSet, fs, path::PathBuf};

use annona_protocol::{ids::SiteId, programme::LogKey, slip::Receipt, voucher::Mark};
use annona_wallet::{Kept, LogError, WholeLog};
use clap::Args;
use serde_json::{Value, json};

use super::{
    Desk, Done, Problem, Report, crowd,
    holder::{At, Holder, held},
};
use crate::state::Crowd;

#[derive(Args)]
pub(super) struct Check {
    /// Reads the logs of sites from this folder of published files, in place of the sites: nobody learns that they were read.
    #[arg(long, value_name = "FOLDER")]
    published: Option<PathBuf>,
    /// Erases receipts whose leaves are proven to be in a log.
    #[arg(long)]
    erase: bool,
    /// Writes the proof of each broken receipt into this folder, for the complaint desk and the auditors.
    #[arg(long, value_name = "FOLDER")]
    proofs: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        // A newer announcement that contradicts the known one ends here.
        let mut holder = Holder::with_news(desk, stored, At::default())?;
        let mut report = Report::default();
        let header = holder.programme().latest().clone();
        let places = [
            ("version", header.version.into()),
            ("count", usize::from(header.witness_threshold).into()),
            ("number", header.witnesses.len().into()),
        ];
        report
            .line(desk.say(if header.witness_threshold == 0 { "check-no-witness" } else { "check-manifest" }, &places));
        report.set("version", header.version);
        report.set("witnesses", header.witness_threshold);

        let issuer = self.log(&holder, None, &header.issuer_log).map_err(Problem::Log)?;
        report.line(desk.say("check-issuer", &[("number", issuer.checkpoint().size().into())]));
        report.set("issuer_log", issuer.checkpoint().size());
        let crowds = crowds(desk, &holder, &issuer, &mut report)?;
        holder.keep_crowds(crowds)?;
        let checked = self.receipts(desk, &holder, &mut report)?;
        let (proven, redeemed) = checked;
        let erased = if self.erase { holder.erase_receipts(&proven)? } else { 0 };
        if erased > 0 {
            report.line(desk.say("receipts-erased", &[("count", erased.into())]));
        }
        report.set("erased", erased);
        let dropped = holder.drop_redeemed(&redeemed)?;
        if dropped > 0 {
            report.line(desk.say("check-redeemed", &[("count", dropped.into())]));
        }
        report.set("dropped", dropped);
        Ok(report)
    }

    fn log(&self, holder: &Holder, site: Option<SiteId>, key: &LogKey) -> Result<WholeLog, LogError> {
        let newest = holder.programme().latest();
        match (&self.published, site) {
            (Some(folder), Some(site)) => {
                let folder = folder.join("logs").join(format!("site-{site}"));
                WholeLog::read(|path| fs::read(folder.join(path)).ok(), key, newest)
            }
            _ => WholeLog::read(|path| holder.log_file(site, path), key, newest),
        }
    }

    /// Receipts of each site against its log; which are proven, and what the logs show as redeemed.
    fn receipts(
        &self,
        desk: &Desk,
        holder: &Holder,
        report: &mut Report,
    ) -> Result<(BTreeSet<Promise>, BTreeSet<Mark>), Problem> {
        let header = holder.programme().latest();
        let (mut proven, mut redeemed, mut list, mut broken) = (BTreeSet::new(), BTreeSet::new(), Vec::new(), 0usize);
        let mut kept = BTreeSet::new();
        let receipts = holder.wallet().receipts();
        let with_receipts = receipts.iter().map(|receipt| receipt.content.place.site);
        let with_vouchers =
            holder.wallet().vouchers().iter().filter_map(|voucher| held(holder.programme(), voucher)?.site);
        let sites: BTreeSet<SiteId> = with_receipts.chain(with_vouchers).collect();
        for site in sites {
            let name = desk.site_name(header, site);
            let Some(key) = header.site(site).and_then(|site| site.logs.last()) else { continue };
            let log = match self.log(holder, Some(site), key) {
                Ok(log) => log,
                Err(error) => {
                    let about = [("site", name.into()), ("reason", error.to_string().into())];
                    report.line(desk.say("check-no-log", &about));
                    list.push(json!({ "site": site.0, "log": Value::Null }));
                    continue;
                }
            };
            redeemed.extend(log.redeemed().map_err(Problem::Log)?);
            let (mut included, mut waiting) = (0usize, 0usize);
            for receipt in receipts.iter().filter(|receipt| receipt.content.place.site == site) {
                match log.kept(receipt, header).map_err(Problem::Receipt)? {
                    Kept::Included(_) => {
                        included += 1;
                        proven.insert(promise(receipt));
                    }
                    Kept::NotDue => waiting += 1,
                    Kept::Broken(proof) => {
                        broken += 1;
                        kept.insert(promise(receipt));
                        if let Some(folder) = &self.proofs {
                            fs::create_dir_all(folder).map_err(Problem::Folder)?;
                            let name = format!("omission-{}.json", hex::encode(&receipt.content.leaf.0[..8]));
                            let file = folder.join(name);
                            // The proof of an earlier check is evidence as it is.
                            if !file.exists() {
                                let text = log.omission_file(holder.programme().id(), &holder.versions()?, &proof);
                                annona_vault::write_new(&file, text.as_bytes())?;
                            }
                        }
                    }
                }
            }
            let about = [("site", name.into()), ("count", included.into()), ("number", waiting.into())];
            report.line(desk.say("check-receipts", &about));
            let size = log.checkpoint().size();
            list.push(json!({ "site": site.0, "log": size, "included": included, "waiting": waiting }));
        }
        if broken > 0 {
            report.line(desk.say("check-broken", &[("count", broken.into())]));
            report.end_with(1);
        }
        report.set("sites", list);
        report.set("broken", broken);
        // Evidence is never erased.
        proven.retain(|promise| !kept.contains(promise));
        Ok((proven, redeemed))
    }
}

/// What a receipt promises: of a voucher the acceptance of this number, as this leaf. Several may be of one voucher.
pub(super) type Promise = (Mark, u32, [u8; 32]);

pub(super) fn promise(receipt: &Receipt) -> Promise {
    (receipt.content.mark, receipt.content.number, receipt.content.leaf.0)
}

/// How many draws brought at least what is held for a site: whoever made them could show what a visit shows.
fn crowds(desk: &Desk, holder: &Holder, issuer: &WholeLog, report: &mut Report) -> Result<Vec<Crowd>, Problem> {
    let (mut list, mut all) = (Vec::new(), Vec::new());
    for (place, held) in crowd::places(holder.programme(), holder.wallet()) {
        let found = crowd::find(issuer, place, held).map_err(Problem::Log)?;
        let (draws, single) = crowd::covering(holder.programme(), &found, &found.held).unwrap_or_default();
        let about = crowd::about(desk, holder.programme(), place, draws);
        report.line(desk.say(if draws < crowd::FEW { "check-small-crowd" } else { "check-crowd" }, &about));
        if let Some(line) = crowd::at_most(desk, single) {
            report.line(line);
        }
        list.push(json!({
            "site": found.site.map(|site| site.0),
            "round": found.round.0,
            "crowd": draws,
            "at_most": single,
            "same": found.same,
        }));
        all.push(found);
    }
    report.set("crowds", list);
    Ok(all)
}
