//! Stubs for builds without the feature `pictures`, such as the page: there the app draws the curves, and the
//! desktop program draws the pictures of a run when it is opened.

use super::curves::CurveGroup;
use super::landscape::Landscape;

const WHY: &str = "this build cannot draw pictures. Use the desktop program, or export .csv";

/// No picture.
pub fn svg(_: &[CurveGroup<'_>]) -> Result<String, String> {
    Err(WHY.into())
}

/// No picture.
pub fn png(_: &[CurveGroup<'_>]) -> Result<Vec<u8>, String> {
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
