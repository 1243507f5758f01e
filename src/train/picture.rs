//! Drawing of pictures as SVG or PNG, with the embedded font.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

/// The result of drawing.
pub(super) type DrawResult = Result<(), Box<dyn std::error::Error>>;

/// Pixels of a bitmap per unit of a picture.
pub(super) const SCALE: u32 = 2;

/// A picture that can be drawn.
pub(super) trait Picture {
    /// Width and height in units: pixels of an SVG.
    fn size(&self) -> (u32, u32);

    /// Draws it; a unit has `scale` pixels.
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: u32) -> DrawResult
    where
        B::ErrorType: 'static;

    /// Draws it as an SVG document.
    fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        self.on(SVGBackend::with_string(&mut svg, self.size()).into_drawing_area(), 1).map_err(|error| error.to_string())?;
        Ok(svg)
    }

    /// Draws it as a PNG file.
    fn png(&self) -> Result<Vec<u8>, String> {
        let (width, height) = self.size();
        let size = (width * SCALE, height * SCALE);
        let mut pixels = vec![0; (size.0 * size.1 * 3) as usize];
        self.on(BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area(), SCALE).map_err(|error| error.to_string())?;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels).and_then(|()| writer.finish()));
        written.map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// Draws it on a white background.
    fn on<B: DrawingBackend>(&self, root: DrawingArea<B, Shift>, scale: u32) -> DrawResult
    where
        B::ErrorType: 'static,
    {
        if register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_err() {
            return Err("cannot read the embedded font".into());
        }
        root.fill(&WHITE)?;
        self.draw(&root, scale)?;
        Ok(root.present()?)
    }
}
