//! Where the library that draws pictures is left out, as in a page: there the app draws the curves, and
//! a run that is opened on a desktop gets its pictures.

use super::curves::Group;

const WHY: &str = "pictures of curves are drawn by the desktop program (`signet curves`); .csv holds every step";

/// No picture.
pub fn svg(_: &[Group<'_>]) -> Result<String, String> {
    Err(WHY.into())
}

/// No picture.
pub fn png(_: &[Group<'_>]) -> Result<Vec<u8>, String> {
    Err(WHY.into())
}
