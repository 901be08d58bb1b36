//! What a receiver wants to be told. `[C]`

use std::fmt;

use super::record::Record;
use crate::model::check_label;

/// Lets records through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what went wrong or needs a person, and what got well after that.
    pub failures_only: bool,
    /// Only these namespaces; all if there are none.
    pub namespaces: Vec<String>,
}

/// Why a filter is refused; a lowercase fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterProblem(String);

impl Filter {
    /// `all`, `failures`, `namespace:NAME`, or several of them with commas in between.
    ///
    /// # Errors
    /// Says which word is wrong.
    pub fn parse(text: &str) -> Result<Filter, FilterProblem> {
        let mut filter = Filter::default();
        for word in text.split(',').map(str::trim) {
            match word.split_once(':') {
                None if word == "all" => {}
                None if word == "failures" => filter.failures_only = true,
                Some(("namespace", name)) => {
                    check_label(name, "namespace").map_err(|problem| FilterProblem(problem.0))?;
                    filter.namespaces.push(name.to_owned());
                }
                _ => {
                    return Err(FilterProblem(format!(
                        "{word:?} is none of all, failures, namespace:NAME"
                    )));
                }
            }
        }
        Ok(filter)
    }

    /// Whether the receiver is told. What is about depd itself is told to everybody.
    #[must_use]
    pub fn admits(&self, record: &Record) -> bool {
        let Some(namespace) = &record.namespace else { return true };
        let wanted = self.namespaces.is_empty() || self.namespaces.contains(namespace);
        wanted && (!self.failures_only || record.event != "deployed")
    }
}

impl fmt::Display for FilterProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[track_caller]
    fn check(filter: &str, expect: &[&str]) {
        let filter = Filter::parse(filter).expect("valid");
        let admitted = samples::all().into_iter().filter(|record| filter.admits(record));
        assert_eq!(admitted.map(|record| record.event).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_receiver_is_told_what_it_wants() {
        let all = ["deployed", "failed", "timed-out", "namespace-created", "rolled-back"];
        check("all", &all);
        check("failures", &all[1..]);
        check("namespace:prod", &["deployed", "failed", "timed-out", "rolled-back"]);
        check("failures, namespace:prod", &["failed", "timed-out", "rolled-back"]);
        check("namespace:prod,namespace:staging", &all);
        check("namespace:other", &[]);
    }

    #[test]
    fn what_concerns_depd_itself_is_told_to_everybody() {
        let mut record = samples::all().remove(1);
        (record.service, record.namespace) = (None, None);
        assert!(Filter::parse("failures,namespace:other").expect("valid").admits(&record));
    }

    #[test]
    fn a_word_that_is_wrong_is_named() {
        for text in ["", "failure", "namespace", "namespace:", "namespace:A", "failures,x"] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
        let problem = Filter::parse("errors").expect_err("no such word");
        assert_eq!(problem.to_string(), "\"errors\" is none of all, failures, namespace:NAME");
    }
}
