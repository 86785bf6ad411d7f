//! Azure with a Microsoft Entra token: the application's own credentials (RFC 6749 section 4.4), at
//! `login.microsoftonline.com/TENANT/oauth2/v2.0/token`. Facts: learn.microsoft.com, "OAuth 2.0 client credentials flow"
//! and "Authenticate to Azure AI services".

use super::token::Tokens;
use super::{Identity, Proof, Scheme};
use crate::upstream::transport::Transport;
use canon::{Fault, FaultKind};

/// What Azure's model services want leave for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// A Microsoft Entra token.
#[derive(Debug)]
pub(super) struct AzureEntra;

impl Scheme for AzureEntra {
    fn name(&self) -> &'static str {
        "azure-entra"
    }

    fn needs_secret(&self) -> bool {
        true
    }

    fn proof(&self, who: &Identity, transport: &Transport) -> Result<Proof, Fault> {
        let need = |value: &Option<String>, name: &str| {
            value.clone().ok_or_else(|| {
                let message = format!("`auth = \"azure-entra\"` needs `login.{name}`");
                Fault::gateway(FaultKind::Internal, message)
            })
        };
        let client = need(&who.login.client, "client")?;
        let url = match &who.login.token_url {
            Some(url) => url.clone(),
            None => {
                let tenant = need(&who.login.tenant, "tenant")?;
                format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token")
            }
        };
        let scope = who.login.scope.clone().unwrap_or_else(|| SCOPE.to_owned());
        let secret = who.secret.clone();
        let form = move || {
            Ok(vec![
                ("grant_type", "client_credentials".to_owned()),
                ("client_id", client.clone()),
                ("client_secret", secret.reveal().to_owned()),
                ("scope", scope.clone()),
            ])
        };
        Ok(Proof::Each(Box::new(Tokens::new(transport, &url, Box::new(form))?)))
    }
}
