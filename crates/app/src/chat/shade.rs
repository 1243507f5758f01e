//! Text coloured by per-token KL(teacher‖student): one hue in five steps of lightness, which all kinds of colour
//! vision can distinguish. Hover and screen readers get the numbers.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::text_selection::LabelSelectionState;
use eframe::egui::{Color32, Label, RichText, Role, Sense, Stroke, TextStyle, Ui, Visuals, WidgetInfo, lerp};
use signet::runner::TokenKl;

/// KL in nats at which each next step begins.
const STEPS: [f64; 4] = [0.1, 0.3, 1.0, 3.0];
/// Share of the hue in each step's background.
const SHARES: [f32; 5] = [0.0, 0.2, 0.4, 0.65, 0.95];
/// A no-break space.
const NO_BREAK: &str = "\u{a0}";
const HUE: Color32 = Color32::from_rgb(230, 159, 0);

fn step(kl: f64) -> usize {
    STEPS.iter().take_while(|&&bound| kl >= bound).count()
}

/// Background and text colour of a step.
fn colours(step: usize, visuals: &Visuals) -> (Color32, Color32) {
    if step == 0 {
        return (Color32::TRANSPARENT, visuals.text_color());
    }
    let [r, g, b, _] = visuals.panel_fill.to_array();
    let mix = |from: u8, to: u8| lerp(f32::from(from)..=f32::from(to), SHARES[step]).round() as u8;
    let fill = Color32::from_rgb(mix(r, HUE.r()), mix(g, HUE.g()), mix(b, HUE.b()));
    (fill, if fill.intensity() > 0.4 { Color32::BLACK } else { Color32::WHITE })
}

/// Draws the legend of the colours.
pub(super) fn legend(ui: &mut Ui) {
    ui.horizontal_wrapped(|ui| {
        ui.label("KL(teacher‖student), nats a token:");
        for n in 0..SHARES.len() {
            let text = match n {
                0 => format!("under {}", STEPS[0]),
                n if n == STEPS.len() => format!("{} and more", STEPS[n - 1]),
                n => format!("{} to {}", STEPS[n - 1], STEPS[n]),
            };
            let (fill, ink) = colours(n, ui.visuals());
            ui.label(RichText::new(format!(" {text} ").replace(' ', NO_BREAK)).background_color(fill).color(ink));
        }
    });
}

/// Draws text coloured by token; screen readers get `spoken` after it.
pub(super) fn text(ui: &mut Ui, tokens: &[TokenKl], spoken: &str) {
    let font = TextStyle::Body.resolve(ui.style());
    let mut job = LayoutJob::default();
    for token in tokens {
        let (background, color) = colours(step(token.kl), ui.visuals());
        job.append(&token.text, 0.0, TextFormat { font_id: font.clone(), color, background, ..TextFormat::default() });
    }
    let (at, galley, response) = Label::new(job).wrap().sense(Sense::hover()).layout_in_ui(ui);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{}\n{spoken}", galley.text())));
    if let Some(pointer) = response.hover_pos() {
        let under = token_at(tokens, galley.cursor_from_pos(pointer - at).index.0);
        if let Some(token) = under {
            response.clone().on_hover_text_at_pointer(numbers(token));
        }
    }
    let ink = ui.visuals().text_color();
    LabelSelectionState::label_text_selection(ui, &response, at, galley, ink, Stroke::NONE);
}

fn numbers(token: &TokenKl) -> String {
    let TokenKl { text, kl, student_p, teacher_p } = token;
    format!("{text:?}\nKL {kl:.3} nats\nstudent {:.1}%, teacher {:.1}%", 100.0 * student_p, 100.0 * teacher_p)
}

/// The token that contains a character, by the character's index.
fn token_at(tokens: &[TokenKl], character: usize) -> Option<&TokenKl> {
    let mut end = 0;
    tokens.iter().find(|token| {
        end += token.text.chars().count();
        character < end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_character_and_steps_by_kl() {
        let token = |text: &str, kl| TokenKl { text: text.into(), kl, student_p: 0.25, teacher_p: 0.5 };
        let tokens = [token("grü", 0.05), token("", 0.2), token("n!", 9.0)];
        let found = |n| token_at(&tokens, n).map(|token| &token.text[..]);
        assert_eq!([found(0), found(2), found(3), found(4), found(5)], [Some("grü"), Some("grü"), Some("n!"), Some("n!"), None]);
        assert_eq!([0.0, 0.1, 0.5, 1.0, 100.0].map(step), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(&tokens[2]), "\"n!\"\nKL 9.000 nats\nstudent 25.0%, teacher 50.0%");
    }

    #[test]
    fn every_step_has_enough_contrast_in_both_themes() {
        // Relative luminance and contrast as WCAG 2 defines them; level AA requires 4.5.
        let luminance = |color: Color32| {
            let linear = |x: u8| eframe::egui::Rgba::from(Color32::from_rgb(x, x, x)).r();
            0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
        };
        for visuals in [Visuals::light(), Visuals::dark()] {
            let mut before = luminance(visuals.panel_fill);
            for n in 1..SHARES.len() {
                let (fill, ink) = colours(n, &visuals);
                let (a, b) = (luminance(fill), luminance(ink));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "step {n}: contrast {contrast:.2}");
                assert!((a > before) == visuals.dark_mode, "each step is further from the background");
                before = a;
            }
        }
    }
}
