//! Where the library that draws pictures is left out, as in a page: there the app draws the curves, and
//! a run that is opened on a desktop gets its pictures.

use super::curves::Group;
use super::landscape::Landscape;

const WHY: &str = "pictures are drawn by the desktop program; .csv holds every step of a run";

/// No picture.
pub fn svg(_: &[Group<'_>]) -> Result<String, String> {
    Err(WHY.into())
}

/// No picture.
pub fn png(_: &[Group<'_>]) -> Result<Vec<u8>, String> {
    Err(WHY.into())
}

/// No picture.
pub fn landscape_svg(_: &Landscape, _: &str) -> Result<String, String> {
    Err(WHY.into())
}

/// No picture.
pub fn landscape_png(_: &Landscape, _: &str) -> Result<Vec<u8>, String> {
    Err(WHY.into())
}
