//! `sightline key`: API keys. They live in the catalog alone, so they can be made and revoked beside a running server,
//! which looks each of them up anew for every request.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use sightline_index::{Guard, KeyRecord, KeyRing, NewKey, Scope, Timestamp};

use super::output::{self, tame};
use crate::config::Config;
use crate::error::Error;

/// Makes, lists and revokes API keys.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key and print it, once: only its hash is kept
    Create(Create),
    /// List every key without its secret
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key; requests that start afterwards are refused
    Revoke {
        /// The key's id, as `key list` shows it
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Scopes: search (search and read), ingest (write documents, permissions and groups), admin (look after the\n\
    service; opens no content), assert-user (name the user of a request in Sightline-User).\n\n\
    Examples:\n  sightline key create --owner ana@example.com --purpose \"intranet search\" --scopes search,assert-user\n  \
    sightline key create --owner ops --purpose \"wiki push\" --scopes ingest --source wiki --expires 2027-01-01T00:00:00Z"
)]
pub(super) struct Create {
    /// Who answers for the key
    #[arg(long)]
    owner: String,
    /// What it is for
    #[arg(long)]
    purpose: String,
    /// What it may be used for: search, ingest, admin, assert-user
    #[arg(long, required = true, value_name = "SCOPE,…", value_delimiter = ',', value_parser = scope)]
    scopes: Vec<Scope>,
    /// When it stops working, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "RFC 3339", value_parser = time)]
    expires: Option<Timestamp>,
    /// Narrows it to this source; may be repeated
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Narrows it to documents with this label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text.trim()).ok_or_else(|| "search, ingest, admin or assert-user is expected".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "a time such as 2027-01-01T00:00:00Z is expected".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label such as dept=hr is expected".to_owned()),
    }
}

impl Key {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        if !matches!(self, Key::Create(_)) && !config.data.exists() {
            return Err(Error::NoData { path: config.data.clone() });
        }
        let ring = KeyRing::open(&config.data)?;
        match self {
            Key::Create(create) => {
                let key = NewKey {
                    owner: create.owner,
                    purpose: create.purpose,
                    scopes: create.scopes.into_iter().collect(),
                    guard: Guard {
                        sources: Some(create.source).filter(|sources| !sources.is_empty()),
                        labels: create.label.into_iter().collect::<BTreeMap<_, _>>(),
                    },
                    expires_at: create.expires,
                };
                let (record, secret) = ring.create(&key, Timestamp::now())?;
                eprintln!("key {} for {}: keep it now, it is not shown again", record.id, tame(&record.owner));
                output::print(&format!("{secret}\n"))?;
            }
            Key::List { json: true } => output::print_json(&json!({ "keys": ring.list()? }))?,
            Key::List { json: false } => {
                let now = Timestamp::now();
                output::print(&ring.list()?.iter().map(|key| line(key, now)).collect::<String>())?;
            }
            Key::Revoke { id } => {
                ring.revoke(&id, Timestamp::now())?;
                output::print(&format!("revoked {id}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(key: &KeyRecord, now: Timestamp) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("works until {at}"),
        (None, None) => "works".to_owned(),
    };
    let scopes = key.scopes.iter().filter_map(|scope| serde_json::to_value(scope).ok()?.as_str().map(str::to_owned));
    let scopes = scopes.collect::<Vec<_>>().join(",");
    let mut narrowed = key.sources.iter().flatten().map(|source| format!(" source={source}")).collect::<String>();
    narrowed.extend(key.labels.iter().map(|(key, value)| format!(" label:{key}={value}")));
    let text = format!("{}  {scopes}  {}  {}  [{state}]{narrowed}", key.id, key.owner, key.purpose);
    tame(&text) + "\n"
}
