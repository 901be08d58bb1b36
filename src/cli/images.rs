//! Arguments about images, which `run` and `check` have in common.

use clap::Args;

use crate::desired::AllowedImages;

/// How images are completed, and which are allowed.
#[derive(Clone, Debug, Default, Args)]
pub struct ImageArguments {
    /// Completes images that name no registry, for example
    /// 123456789012.dkr.ecr.eu-central-1.amazonaws.com [env: ECR_REPO]
    #[arg(long, value_name = "REPO")]
    pub ecr_repo: Option<String>,

    /// Deploy images of this registry, of this repository, or beneath this path (ends with /*), and no
    /// others; can be given several times
    #[arg(long, value_name = "WHERE", value_parser = AllowedImages::parse)]
    pub allow_image: Vec<AllowedImages>,

    /// Deploy images with a digest only
    #[arg(long)]
    pub digest_only: bool,
}
