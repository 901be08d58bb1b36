//! The format of AWS's shared files. `[C]`
//!
//! Sections in brackets with `name = value` lines; `#` and `;` begin comments; indented lines belong to
//! the value above them and none that depd reads has any. Facts: "Shared config and credentials files" in
//! the AWS SDKs and Tools Reference Guide. As the SDKs do, what cannot be read is passed over: the files
//! serve many programs.

use std::collections::BTreeMap;

/// Names and values of one section.
pub type Section = BTreeMap<String, String>;

/// Sections by name, as written between the brackets, with single spaces.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || is_nested {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            current = rest.split_once(']').map(|(name, _)| {
                name.split_whitespace().collect::<Vec<_>>().join(" ").replace(['"', '\''], "")
            });
            if let Some(name) = &current {
                sections.entry(name.clone()).or_default();
            }
        } else if let (Some(section), Some((name, value))) = (&current, line.split_once('=')) {
            let section = sections.entry(section.clone()).or_default();
            section.insert(name.trim().to_ascii_lowercase(), without_comment(value).to_owned());
        }
    }
    sections
}

/// A comment behind a value begins after white space; a `#` inside a key is part of it.
fn without_comment(value: &str) -> &str {
    let starts = [" #", " ;", "\t#", "\t;"];
    let end = starts.iter().filter_map(|start| value.find(start)).min();
    value[..end.unwrap_or(value.len())].trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sections_hold_their_lines_without_comments_and_nested_lines() {
        let text = "\u{feff}# top\nlost = 1\n[default]\nregion = eu-west-1 # here\r\n\
                    Aws_Access_Key_Id=AK#IA\n[ profile  dev ]\ns3 =\n  max = 3\n; no\nrole_arn = arn:x\n[broken\nx=1\n";
        let sections = parse(text);
        assert_eq!(sections["default"]["region"], "eu-west-1");
        assert_eq!(sections["default"]["aws_access_key_id"], "AK#IA");
        assert_eq!(sections["profile dev"]["role_arn"], "arn:x");
        assert_eq!(sections["profile dev"].get("max"), None);
        assert_eq!(sections.len(), 2);
        assert_eq!(sections["profile dev"].get("x"), None, "it is of no section");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(name in "[a-z]{1,9}", key in "[a-z_]{1,9}", value in "[A-Za-z0-9+/=]{0,40}") {
            let sections = parse(&format!("[{name}]\n{key} = {value}\n"));
            prop_assert_eq!(&sections[&name][&key], &value);
        }
    }
}
