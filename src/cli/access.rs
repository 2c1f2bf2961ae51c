//! `sightline access`: why a document is visible or not, what to look at, and aliases.

use std::process::ExitCode;

use clap::Subcommand;
use sightline_index::{AccessReport, Caller, Documents, Explanation, GrantPath, Principal, Reason, Timestamp, Write};

use super::{open, output};
use crate::config::Config;
use crate::error::Error;

const DAY_MS: i64 = 86_400_000;

/// Why a document is visible to a user or not, and what an admin should look at.
#[derive(Debug, Subcommand)]
pub(super) enum Access {
    /// Say why a user may read a document, or every reason why not
    Explain {
        /// The user, as `user:ID`, or `public`
        #[arg(value_parser = Principal::parse)]
        user: Principal,
        /// The document, as `source/id`
        document: String,
        /// Groups that the user's credentials would assert
        #[arg(long, value_delimiter = ',', value_parser = Principal::parse)]
        groups: Vec<Principal>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List what everyone sees, what nobody sees, grants about to end, groups that grant nothing, stale sources
    Report {
        /// How many days ahead ending grants are told
        #[arg(long, default_value_t = 30)]
        days: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a source's own user id mean a user
    Alias {
        /// The source
        source: String,
        /// The user as the source's ACLs name them, as `user:ID`
        #[arg(value_parser = Principal::parse)]
        alias: Principal,
        /// The user as callers are named; left out, the alias ends
        #[arg(value_parser = Principal::parse)]
        user: Option<Principal>,
    },
}

impl Access {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        let now = Timestamp::now();
        match self {
            Access::Explain { user, document, groups, json } => {
                let (source, id) = document.split_once('/').unwrap_or((&document, ""));
                let caller = Caller::user(user).unwrap_or_default().with_groups(groups);
                let explanation = open::engine(config, true)?.explain(&caller, source, id, now)?;
                if json { output::print_json(&explanation)? } else { output::print(&explained(&explanation))? }
            }
            Access::Report { days, json } => {
                let soon = Timestamp(now.0 + i64::from(days) * DAY_MS);
                let report = open::engine(config, true)?.access_report(now, soon)?;
                if json { output::print_json(&report)? } else { output::print(&reported(&report))? }
            }
            Access::Alias { source, alias, user } => {
                let write = Write::SetAlias { source, alias, canonical: user };
                let receipts = open::engine(config, false)?.write(vec![write], now)?;
                output::print(&format!("epoch {}\n", receipts.last().map_or(0, |receipt| receipt.epoch)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn explained(explanation: &Explanation) -> String {
    let Explanation { user, source, document, visible, .. } = explanation;
    let verdict = if *visible { "may read" } else { "may not read" };
    let mut text = output::tame(&format!("{user} {verdict} {source}/{document}\n"));
    if let (Some(state), Some(at)) = (explanation.acl_state, explanation.acl_read_at) {
        text += &format!("its ACL is {state}, read at {at}\n");
    }
    text += &paths(&explanation.grants, &explanation.reasons, "  ");
    for section in &explanation.sections {
        let verdict = if section.visible { "may be read" } else { "may not be read" };
        text += &format!("section {} {verdict}\n{}", output::tame(&section.name), paths(&section.grants, &section.reasons, "  "));
    }
    text
}

fn paths(grants: &[GrantPath], reasons: &[Reason], indent: &str) -> String {
    let mut text = String::new();
    for grant in grants {
        let chain: Vec<&str> = std::iter::once(&grant.principal).chain(&grant.through).map(String::as_str).collect();
        let until = grant.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let line = format!(
            "{indent}{} \u{2190} {} of the {}{until}, read at {}",
            chain.join(" \u{2190} "),
            grant.entry,
            grant.place,
            grant.read_at
        );
        text += &(output::tame(&line) + "\n");
    }
    for reason in reasons {
        text += &(output::tame(&format!("{indent}{}: {}", reason.code, reason.detail)) + "\n");
    }
    text
}

fn reported(report: &AccessReport) -> String {
    let mut text = String::new();
    let mut list = |title: String, documents: &Documents| {
        text += &format!("{title}: {}\n", output::grouped(documents.count));
        for document in &documents.examples {
            text += &format!("  {}\n", output::tame(document));
        }
    };
    list("visible to everyone who is signed in".to_owned(), &report.visible_to_everyone);
    list("visible to the public".to_owned(), &report.visible_to_public);
    for (problem, documents) in &report.withheld {
        list(format!("withheld, {problem}"), documents);
    }
    for grant in &report.grants_ending {
        list(format!("grant to {} ends {}, documents", output::tame(&grant.principal), grant.until), &grant.documents);
    }
    for source in &report.stale_sources {
        list(format!("stale in {}, older than {} s", output::tame(&source.source), source.acl_max_age_seconds), &source.documents);
    }
    for grant in report.grants_ending.iter().filter(|grant| !grant.containers.is_empty()) {
        let containers = output::tame(&grant.containers.join(", "));
        text += &format!("grant to {} ends {} on containers {containers}\n", output::tame(&grant.principal), grant.until);
    }
    for group in &report.groups_granting_nothing {
        text += &format!("grants nothing: {}\n", output::tame(group));
    }
    text
}
