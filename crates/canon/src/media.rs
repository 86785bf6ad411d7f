//! Images, sounds, documents and videos inside a message. Data only; fetching an address is never done here.

use crate::Extras;
use crate::request::CacheMark;

/// One non-text part.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: Source,
    /// A file name or title.
    pub name: Option<String>,
    /// How closely to look (`low`, `high`, `auto`).
    pub detail: Option<String>,
    /// A prompt-cache breakpoint after this part.
    pub cache: Option<CacheMark>,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

/// What a media part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A PDF or another file.
    Document,
    /// A film.
    Video,
}

/// Where a media part's bytes are.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// At an address.
    Url {
        /// The address.
        url: String,
        /// Its MIME type where said.
        mime: Option<String>,
    },
    /// Here, in base64 without the `data:` prefix.
    Base64 {
        /// MIME type, e.g. `image/png`.
        mime: String,
        /// The bytes in base64.
        data: String,
    },
    /// Here, as text.
    Text {
        /// MIME type, e.g. `text/plain`.
        mime: String,
        /// The text.
        text: String,
    },
    /// A file kept by a provider; only there it means something.
    File {
        /// The provider's id of the file.
        id: String,
    },
}

impl Source {
    /// Reads an address: a `data:` URL with base64 becomes `Base64`, everything else stays an address.
    #[must_use]
    pub fn from_url(url: &str) -> Self {
        if let Some((mime, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            return Self::Base64 { mime: mime.to_owned(), data: data.to_owned() };
        }
        Self::Url { url: url.to_owned(), mime: None }
    }

    /// The address of this source, a `data:` URL where the bytes are here; `None` for files and text.
    #[must_use]
    pub fn to_url(&self) -> Option<String> {
        match self {
            Self::Url { url, .. } => Some(url.clone()),
            Self::Base64 { mime, data } => Some(format!("data:{mime};base64,{data}")),
            Self::Text { .. } | Self::File { .. } => None,
        }
    }
}
