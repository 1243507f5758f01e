//! `strftime`, in English and UTC.

use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// The parts of a point in time.
struct Date {
    year: i64,
    month: i64,
    day: i64,
    weekday: i64,
    yearday: i64,
    seconds: i64,
    micros: i64,
    epoch: i64,
}

fn date(now: f64) -> Date {
    let now = now.clamp(0.0, 2.5e11);
    let epoch = now.floor() as i64;
    let days = epoch.div_euclid(86_400);
    // Howard Hinnant's civil_from_days, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
    let yearday = before + day + i64::from(leap && month > 2);
    let micros = ((now - now.floor()) * 1e6) as i64;
    Date { year, month, day, weekday: (days + 4).rem_euclid(7), yearday, seconds: epoch.rem_euclid(86_400), micros, epoch }
}

/// Formats `now`, in seconds since 1970.
pub(super) fn format(format: &str, now: f64, meter: &Meter) -> Result<String> {
    let date = date(now);
    let mut out = String::new();
    let mut chars = format.chars();
    meter.text(format.len().checked_mul(24))?;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut kind = chars.next();
        let unpadded = kind == Some('-');
        if unpadded {
            kind = chars.next();
        }
        let Some(kind) = kind else {
            out.push('%');
            break;
        };
        let text = date.part(kind).ok_or_else(|| JinjaError::new(format!("strftime_now does not support %{kind}")))?;
        let trimmed = text.trim_start_matches(['0', ' ']);
        out.push_str(if unpadded && text.len() > 1 { if trimmed.is_empty() { "0" } else { trimmed } } else { &text });
    }
    Ok(out)
}

impl Date {
    fn part(&self, kind: char) -> Option<String> {
        let (hour, minute, second) = (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        let hour12 = (hour + 11) % 12 + 1;
        let day = DAYS[self.weekday as usize];
        let month = MONTHS[self.month as usize - 1];
        let monday = (self.weekday + 6) % 7;
        let joined = |kinds: &[&str]| {
            kinds
                .iter()
                .map(|part| if part.len() == 1 && part.chars().all(char::is_alphabetic) { self.part(part.chars().next()?) } else { Some((*part).into()) })
                .collect()
        };
        Some(match kind {
            'Y' => self.year.to_string(),
            'G' => self.iso_week().0.to_string(),
            'C' => format!("{:02}", self.year / 100),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'j' => format!("{:03}", self.yearday),
            'H' => format!("{hour:02}"),
            'I' => format!("{hour12:02}"),
            'k' => format!("{hour:2}"),
            'l' => format!("{hour12:2}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'f' => format!("{:06}", self.micros),
            's' => self.epoch.to_string(),
            'p' => String::from(if hour < 12 { "AM" } else { "PM" }),
            'P' => String::from(if hour < 12 { "am" } else { "pm" }),
            'A' => day.into(),
            'a' => day[..3].into(),
            'B' => month.into(),
            'b' | 'h' => month[..3].into(),
            'w' => self.weekday.to_string(),
            'u' => (monday + 1).to_string(),
            'U' => format!("{:02}", (self.yearday + 6 - self.weekday) / 7),
            'W' => format!("{:02}", (self.yearday + 6 - monday) / 7),
            'V' => format!("{:02}", self.iso_week().1),
            'Z' | 'z' => String::new(),
            'n' => "\n".into(),
            't' => "\t".into(),
            '%' => "%".into(),
            'F' => return joined(&["Y", "-", "m", "-", "d"]),
            'T' | 'X' => return joined(&["H", ":", "M", ":", "S"]),
            'R' => return joined(&["H", ":", "M"]),
            'D' | 'x' => return joined(&["m", "/", "d", "/", "y"]),
            'r' => return joined(&["I", ":", "M", ":", "S", " ", "p"]),
            'c' => return joined(&["a", " ", "b", " ", "e", " ", "H", ":", "M", ":", "S", " ", "Y"]),
            _ => return None,
        })
    }

    /// The year and week of ISO 8601.
    fn iso_week(&self) -> (i64, i64) {
        let monday = (self.weekday + 6) % 7;
        let week = (self.yearday - 1 - monday + 10) / 7;
        let long = |year: i64| {
            let last = |year: i64| (year + year / 4 - year / 100 + year / 400) % 7;
            if last(year) == 4 || last(year - 1) == 3 { 53 } else { 52 }
        };
        match week {
            0 => (self.year - 1, long(self.year - 1)),
            week if week > long(self.year) => (self.year + 1, 1),
            week => (self.year, week),
        }
    }
}
