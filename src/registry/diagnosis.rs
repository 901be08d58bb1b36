//! Would depd get into this registry? For a person who looks for what is wrong. `[E]`
//!
//! It takes the way of the daemon: the same source of credentials, the same call for a token, which is
//! thrown away.

use std::sync::Arc;

use super::RegistrySettings;
use super::aws::Aws;
use super::tokens::{NoToken, Tokens};
use crate::model::EcrRegistry;

/// Gets a token for the registry, and says whose credentials did it.
///
/// # Errors
/// A sentence that says why there is none, and what to do.
pub fn diagnose(settings: &RegistrySettings, registry: &EcrRegistry) -> Result<String, String> {
    let aws = Arc::new(Aws::new(settings.environment.clone(), settings.surroundings.clone()));
    let source = aws.source_name()?;
    match Tokens::new(aws, None).get(registry) {
        Ok(_) => Ok(source),
        Err(NoToken::Failed(why)) => Err(why),
        // Nobody else has these tokens in hand.
        Err(NoToken::Busy) => Err("its token is being fetched".to_owned()),
    }
}
