//! Reading a request's body: bounded in size and time, collected once.

use crate::setup::ServeLimits;
use bytes::Bytes;
use canon::{Fault, FaultKind};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

/// The whole body, within its bounds.
pub(super) async fn collect(body: Incoming, limits: ServeLimits) -> Result<Bytes, Fault> {
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(too_large(limits));
    }
    match tokio::time::timeout(limits.body_time, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(error)) => Err(Fault::client(FaultKind::Invalid, format!("the body could not be read: {error}"))),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", limits.body_time.as_secs());
            Err(Fault::client(FaultKind::Invalid, message))
        }
    }
}

fn too_large(limits: ServeLimits) -> Fault {
    Fault::client(FaultKind::TooLarge, format!("the body is larger than {} bytes", limits.body_bytes))
}
