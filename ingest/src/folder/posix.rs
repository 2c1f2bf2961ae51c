//! ACLs from POSIX owner, group and mode.
//!
//! A file is readable by a class of users when its mode lets them read it and every folder from the top down lets them
//! through. Where POSIX would need more than the mode to tell (a folder of another group, say), the answer is no.
//! Accounts are named as `/etc/passwd` and `/etc/group` name them, groups as `group:posix/NAME`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};
use sightline_index::Principal;

const READ: u32 = 4;
const THROUGH: u32 = 1;

/// The accounts of this machine.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    members: BTreeMap<u32, BTreeSet<u32>>,
}

impl Accounts {
    /// Reads the accounts of this machine.
    pub(super) fn of_this_machine() -> std::io::Result<Accounts> {
        Ok(Accounts::parse(&std::fs::read_to_string("/etc/passwd")?, &std::fs::read_to_string("/etc/group")?))
    }

    fn parse(passwd: &str, group: &str) -> Accounts {
        let mut accounts = Accounts::default();
        let mut numbers = BTreeMap::new();
        for line in passwd.lines() {
            if let [name, _, uid, gid, ..] = line.split(':').collect::<Vec<_>>().as_slice()
                && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
            {
                accounts.users.entry(uid).or_insert_with(|| (*name).to_owned());
                accounts.members.entry(gid).or_default().insert(uid);
                numbers.insert(*name, uid);
            }
        }
        for line in group.lines() {
            if let [name, _, gid, members, ..] = line.split(':').collect::<Vec<_>>().as_slice()
                && let Ok(gid) = gid.parse()
            {
                accounts.groups.entry(gid).or_insert_with(|| (*name).to_owned());
                let members = members.split(',').filter_map(|member| numbers.get(member).copied());
                accounts.members.entry(gid).or_default().extend(members);
            }
        }
        accounts
    }

    /// Every group with its members, for the directory.
    pub(super) fn directory(&self) -> impl Iterator<Item = (Principal, Vec<Principal>)> + '_ {
        self.groups.keys().filter_map(|gid| {
            let members = self.members.get(gid).into_iter().flatten();
            let members = members.filter_map(|uid| Principal::parse(&self.user(*uid)).ok()).collect();
            Some((Principal::parse(&self.group(*gid)).ok()?, members))
        })
    }

    fn user(&self, uid: u32) -> String {
        self.users.get(&uid).map_or_else(|| format!("user:uid-{uid}"), |name| format!("user:{name}"))
    }

    fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).map_or_else(|| format!("group:posix/gid-{gid}"), |name| format!("group:posix/{name}"))
    }

    /// The ACL of a file below these folders.
    pub(super) fn acl(&self, file: &Metadata, folders: &[&Metadata]) -> Value {
        let owners = folders.iter().map(|folder| (folder.uid(), folder.gid(), folder.mode())).collect::<Vec<_>>();
        self.acl_of((file.uid(), file.gid(), file.mode()), &owners)
    }

    fn acl_of(&self, (uid, gid, mode): (u32, u32, u32), folders: &[(u32, u32, u32)]) -> Value {
        let others_pass = |mode: u32| mode & THROUGH != 0;
        let owner = mode >> 6 & READ != 0
            && folders.iter().all(|(owner, _, mode)| if *owner == uid { mode >> 6 & THROUGH != 0 } else { others_pass(*mode) });
        let group = mode >> 3 & READ != 0
            && folders.iter().all(|(_, group, mode)| if *group == gid { mode >> 3 & THROUGH != 0 } else { others_pass(*mode) });
        let others = mode & READ != 0 && folders.iter().all(|(_, _, mode)| others_pass(*mode));
        let mut allow = Vec::new();
        let mut deny = Vec::new();
        // The first class that fits decides, also when it gives less than a later one.
        for (fits, name) in [(owner, self.user(uid)), (group, self.group(gid))] {
            if fits {
                allow.push(name);
            } else if others {
                deny.push(name);
            }
        }
        if others {
            allow.push("everyone".to_owned());
        }
        json!({ "allow": allow, "deny": deny })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(file: (u32, u32, u32), folders: &[(u32, u32, u32)]) -> Value {
        Accounts::parse("ana:x:1:10::/:\nbo:x:2:20::/:\n", "eng:x:10:bo\nops:x:20:\n").acl_of(file, folders)
    }

    #[test]
    fn the_mode_decides_and_folders_narrow() {
        assert_eq!(acl((1, 10, 0o644), &[]), json!({"allow": ["user:ana", "group:posix/eng", "everyone"], "deny": []}));
        assert_eq!(acl((1, 10, 0o640), &[]), json!({"allow": ["user:ana", "group:posix/eng"], "deny": []}));
        assert_eq!(acl((1, 10, 0o604), &[]), json!({"allow": ["user:ana", "everyone"], "deny": ["group:posix/eng"]}));
        assert_eq!(acl((1, 10, 0o644), &[(2, 10, 0o750)]), json!({"allow": ["group:posix/eng"], "deny": []}));
        assert_eq!(acl((1, 10, 0o644), &[(2, 20, 0o700)]), json!({"allow": [], "deny": []}));
    }
}
