//! `sightline group`: the directory of groups and their members.
//!
//! Reading works beside a running server; changing needs the data directory for itself, or the server's API.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use sightline_index::{Outcome, Principal, Timestamp, Write};
use sightline_ingest::read_directory;

use super::{open, output};
use crate::config::Config;
use crate::error::Error;

/// Shows and changes groups. A group is named `eng` or `group:eng`; members are `user:ID` or `group:ID`.
#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// List every group
    List(Json),
    /// Show the direct members of a group
    Show {
        /// The group
        #[arg(value_parser = name)]
        group: Principal,
        #[command(flatten)]
        json: Json,
    },
    /// Make a group or replace its members
    Set {
        /// The group
        #[arg(value_parser = name)]
        group: Principal,
        /// Its members from now on
        #[arg(value_parser = Principal::parse)]
        members: Vec<Principal>,
    },
    /// Add members to a group
    Add {
        /// The group
        #[arg(value_parser = name)]
        group: Principal,
        /// The members to add
        #[arg(required = true, value_parser = Principal::parse)]
        members: Vec<Principal>,
    },
    /// Remove members from a group
    Remove {
        /// The group
        #[arg(value_parser = name)]
        group: Principal,
        /// The members to remove
        #[arg(required = true, value_parser = Principal::parse)]
        members: Vec<Principal>,
    },
    /// Delete a group
    Delete {
        /// The group
        #[arg(value_parser = name)]
        group: Principal,
    },
    /// Set every group of a JSON file `{"group:eng": ["user:ana@example.com", "group:platform"], …}`
    Import {
        /// The file
        file: PathBuf,
    },
}

/// How a read is printed.
#[derive(Debug, Args)]
pub(super) struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads the name of a group; `eng` and `group:eng` are the same.
pub(super) fn name(text: &str) -> Result<Principal, String> {
    let name = if text.starts_with("group:") { text.to_owned() } else { format!("group:{text}") };
    Principal::parse(&name)
}

impl Group {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        let writes = match self {
            Group::List(json) => return list(config, &json),
            Group::Show { group, json } => return show(config, &group, &json),
            Group::Set { group, members } => vec![Write::SetGroup { group, members }],
            Group::Add { group, members } => vec![Write::ChangeGroup { group, add: members, remove: Vec::new() }],
            Group::Remove { group, members } => vec![Write::ChangeGroup { group, add: Vec::new(), remove: members }],
            Group::Delete { group } => vec![Write::DeleteGroup { group }],
            Group::Import { file } => {
                read_directory(&file)?.into_iter().map(|(group, members)| Write::SetGroup { group, members }).collect()
            }
        };
        let receipts = open::engine(config, false)?.write(writes, Timestamp::now())?;
        if receipts.iter().any(|receipt| receipt.outcome == Outcome::Missing) {
            return Err(sightline_index::Error::NotFound.into());
        }
        let count = |outcome| receipts.iter().filter(|receipt| receipt.outcome == outcome).count();
        let (created, updated) = (count(Outcome::Created), count(Outcome::Updated));
        let (unchanged, deleted) = (count(Outcome::Unchanged), count(Outcome::Deleted));
        let epoch = receipts.last().map_or(0, |receipt| receipt.epoch);
        output::print(&format!("{created} created, {updated} updated, {unchanged} unchanged, {deleted} deleted; epoch {epoch}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(config: &Config, Json { json }: &Json) -> Result<ExitCode, Error> {
    let groups = open::engine(config, true)?.groups()?;
    match json {
        true => output::print_json(&json!({ "groups": groups }))?,
        false => output::print(&groups.iter().map(|group| output::tame(group) + "\n").collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, group: &Principal, Json { json }: &Json) -> Result<ExitCode, Error> {
    let members = open::engine(config, true)?.group(group.as_str())?;
    match json {
        true => output::print_json(&json!({ "id": group, "members": members }))?,
        false => output::print(&members.iter().map(|member| output::tame(member) + "\n").collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}
