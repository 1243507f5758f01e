//! A line of a picture that stays small however many points it is made of: the least and the
//! greatest of each stretch, and the mean. Pure.

/// Stretches a line has at most: more than there are pixels would only make the picture larger.
const STRETCHES: usize = 600;

/// The extremes and sums of some points in a row.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    least: (f64, f64),
    most: (f64, f64),
    /// Sums of all.
    sum: (f64, f64),
    points: f64,
}

impl Stretch {
    fn with(self, other: Self) -> Self {
        let least = if other.least.1 < self.least.1 { other.least } else { self.least };
        let most = if other.most.1 > self.most.1 { other.most } else { self.most };
        Self { least, most, sum: (self.sum.0 + other.sum.0, self.sum.1 + other.sum.1), points: self.points + other.points }
    }
}

/// A line, thinned.
#[derive(Clone, Debug, Default)]
pub(super) struct Thin {
    stretches: Vec<Stretch>,
    /// Points in each stretch but the last: 2 to this power.
    power: u32,
    /// Points in the last.
    last: usize,
}

impl Thin {
    /// Adds a point behind the others.
    pub(super) fn push(&mut self, x: f64, y: f64) {
        let point = Stretch { least: (x, y), most: (x, y), sum: (x, y), points: 1.0 };
        if let Some(stretch) = self.stretches.last_mut().filter(|_| self.last < 1 << self.power) {
            *stretch = stretch.with(point);
            self.last += 1;
            return;
        }
        if self.stretches.len() == STRETCHES {
            self.stretches = self.stretches.chunks(2).map(|pair| pair.iter().copied().reduce(Stretch::with).expect("one or two")).collect();
            self.power += 1;
        }
        self.stretches.push(point);
        self.last = 1;
    }

    /// Whether there is no point.
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// The mean of each stretch.
    pub(super) fn means(&self) -> Vec<(f64, f64)> {
        self.stretches.iter().map(|stretch| (stretch.sum.0 / stretch.points, stretch.sum.1 / stretch.points)).collect()
    }

    /// The points that stand for all.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::with_capacity(2 * self.stretches.len());
        for stretch in &self.stretches {
            let (first, second) = if stretch.least.0 <= stretch.most.0 { (stretch.least, stretch.most) } else { (stretch.most, stretch.least) };
            points.push(first);
            points.extend((second.0 > first.0).then_some(second));
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_are_all_kept_and_peaks_of_many() {
        let mut line = Thin::default();
        for n in 0..100 {
            line.push(f64::from(n), f64::from(n * n % 17));
        }
        assert_eq!(line.points(), (0..100).map(|n| (f64::from(n), f64::from(n * n % 17))).collect::<Vec<_>>());
        for n in 100..1_000_000 {
            let y = if n == 777_777 {
                99.0
            } else if n == 123_456 {
                -99.0
            } else {
                f64::from(n % 7)
            };
            line.push(f64::from(n), y);
        }
        let points = line.points();
        assert!(points.len() <= 2 * STRETCHES && points.len() > STRETCHES / 2, "{}", points.len());
        assert!(points.contains(&(777_777.0, 99.0)) && points.contains(&(123_456.0, -99.0)));
        let means = line.means();
        // The first stretch has the squares among it.
        assert!(means.len() <= STRETCHES && means[1..].iter().all(|(_, y)| (y - 3.0).abs() < 0.06), "{:?}", &means[..9]);
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
