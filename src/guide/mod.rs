//! The guide: a page for each task, written for the person who has it. `[C]`
//!
//! The pages are the `.md` files beside this one, readable on their own, in this documentation, and
//! as `depd guide PAGE` on a host that has nothing but the binary. Each fenced block of commands in
//! them is run by `tests/scenarios/guide.rs`; the comments `<!-- test: … -->` above blocks tell it how.

/// One page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// What it is called, in links and after `depd guide`.
    pub name: &'static str,
    /// Markdown, as it is in the file.
    pub source: &'static str,
}

macro_rules! pages {
    ($($module:ident $name:literal)*) => {
        $(
            #[doc = include_str!(concat!($name, ".md"))]
            pub mod $module {}
        )*

        /// All pages, in the order in which they are read.
        pub const PAGES: &[Page] =
            &[$(Page { name: $name, source: include_str!(concat!($name, ".md")) }),*];
    };
}

pages! {
    first_deployment "first-deployment"
    ci "ci"
    ecr "ecr"
    host "host"
    go_engine "go-engine"
    dep_files "dep-files"
    rollouts "rollouts"
    messages "messages"
    cluster "cluster"
}

impl Page {
    /// The page of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Page> {
        PAGES.iter().find(|page| page.name == name)
    }

    /// Its heading.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.source.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// The page for reading on a terminal: without pictures, and without what is for the test.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.source.len());
        let mut is_blank = false;
        for line in self.source.lines() {
            let left_out = line.starts_with("<!--") || line.starts_with("![");
            let doubled = line.is_empty() && is_blank;
            if !left_out && !doubled {
                text.push_str(line);
                text.push('\n');
                is_blank = line.is_empty();
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_title_and_a_name_that_finds_it_and_shows_nothing_for_the_test() {
        for page in PAGES {
            assert!(page.source.starts_with("# "), "{}", page.name);
            assert!(page.title().len() > 5, "{}", page.name);
            assert_eq!(Page::named(page.name).map(Page::title), Some(page.title()));
            let text = page.text();
            assert!(!text.contains("<!--") && !text.contains("\n\n\n"), "{text}");
        }
    }
}
