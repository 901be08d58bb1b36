//! `depd guide`: the pages of the guide, on a host that has nothing but the binary.

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{Failure, print};
use crate::guide::{PAGES, Page};

/// Print a page of the guide: there is one for each task.
///
/// Exit code 0: printed. 1: it cannot be printed. 2: wrong usage, such as an unknown page.
#[derive(Debug, Args)]
pub struct GuideArguments {
    /// The page; without it the pages are listed
    #[arg(value_name = "PAGE", hide_possible_values = true, value_parser = names())]
    page: Option<String>,
}

fn names() -> PossibleValuesParser {
    PAGES.iter().map(|page| page.name).into()
}

/// Prints the page, or which there are.
pub fn run(arguments: &GuideArguments) -> Result<ExitCode, Failure> {
    let text = match arguments.page.as_deref().and_then(Page::named) {
        Some(page) => page.text(),
        None => PAGES.iter().map(|page| format!("{:<18}{}\n", page.name, page.title())).collect(),
    };
    print::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
