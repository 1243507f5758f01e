//! Models from the network, on a desktop: none are kept, since a model is a file.

use crate::platform::models::{Fetched, Fetching, KeptModel, Room, Wanted};
use std::io;

fn a_file() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "here a model is a file: download it with any program, and name the file")
}

/// Models that are kept, and the room there is.
pub async fn kept_models() -> io::Result<(Vec<KeptModel>, Room)> {
    Err(a_file())
}

/// Deletes a model.
pub async fn delete_model(_name: &str) -> io::Result<()> {
    Err(a_file())
}

/// Fetches a model; none if it was stopped.
pub async fn fetch_model(_wanted: Wanted<'_>, _tell: &mut dyn FnMut(Fetching)) -> io::Result<Option<Fetched>> {
    Err(a_file())
}
