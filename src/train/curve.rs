//! A curve that is drawn in a time independent of its length: a tree of minima, maxima and means of ever
//! longer stretches, updated as points arrive. Pure.

/// Stretches of one level per stretch of the next.
const BRANCHING: usize = 4;

/// A summary of consecutive points.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    /// Step and value of the minimum and the maximum.
    min: (u64, f32),
    max: (u64, f32),
    /// Sums of the values and of their steps.
    sum: f64,
    steps: f64,
    count: u32,
}

impl Stretch {
    fn of(step: u64, value: f32) -> Self {
        Self { min: (step, value), max: (step, value), sum: f64::from(value), steps: step as f64, count: 1 }
    }

    fn add(&mut self, other: &Stretch) {
        if other.min.1 < self.min.1 {
            self.min = other.min;
        }
        if other.max.1 > self.max.1 {
            self.max = other.max;
        }
        self.sum += other.sum;
        self.steps += other.steps;
        self.count += other.count;
    }

    /// Returns the mean of its steps.
    fn middle(&self) -> f64 {
        self.steps / f64::from(self.count)
    }
}

/// A curve of values by step.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// Number of points, and the step of the last.
    count: usize,
    last: u64,
    /// The points; empty once they are dropped.
    steps: Vec<u64>,
    values: Vec<f32>,
    /// `levels[k]` has stretches of `BRANCHING^(k + 1)` points; the last of each may be shorter.
    levels: Vec<Vec<Stretch>>,
    /// Number of dropped levels, the points being the first.
    floor: usize,
    /// Most parts of the finest level; unlimited if none.
    max_parts: Option<usize>,
}

/// A pixel's column of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Step and value of the minimum and the maximum, in the order of their steps; they may be one point.
    pub ends: [(f64, f64); 2],
    /// Mean of the values.
    pub mean: f64,
    /// Mean of the steps.
    pub middle: f64,
    /// Number of points.
    pub count: u32,
}

impl Column {
    /// Returns the points to draw: its two ends, or one point if they are the same.
    pub fn points(&self) -> &[(f64, f64)] {
        if self.ends[0].0 == self.ends[1].0 { &self.ends[..1] } else { &self.ends[..] }
    }
}

impl Curve {
    /// A curve of bounded memory, for a picture of the whole curve: when its finest level has more than `max_parts` parts,
    /// it drops that level.
    pub fn thinned(max_parts: usize) -> Self {
        // With fewer there would be no level above.
        Self { max_parts: Some(max_parts.max(BRANCHING * BRANCHING)), ..Self::default() }
    }

    /// Adds a value, unless it is not finite. A step that is not after the last replaces all points from it
    /// on.
    pub fn push(&mut self, step: u64, value: f64) {
        let value = value as f32;
        if !value.is_finite() {
            return;
        }
        if self.count > 0 && self.last >= step {
            self.cut(self.parts_until(|known| known < step));
        }
        let at = self.count;
        (self.count, self.last) = (at + 1, step);
        if self.floor == 0 {
            self.steps.push(step);
            self.values.push(value);
        }
        let mut size = BRANCHING;
        for (n, level) in self.levels.iter_mut().enumerate() {
            match level.get_mut(at / size) {
                Some(stretch) => stretch.add(&Stretch::of(step, value)),
                None if n + 1 < self.floor => {}
                None => level.push(Stretch::of(step, value)),
            }
            size *= BRANCHING;
        }
        if self.levels.last().map_or(self.values.len(), Vec::len) > BRANCHING {
            let level = self.levels.len();
            self.levels.push(Vec::new());
            self.rebuild(level, 0);
        }
        if self.max_parts.is_some_and(|max| self.parts() > max) {
            self.drop_finest_level();
        }
    }

    /// Drops the finest level.
    fn drop_finest_level(&mut self) {
        match self.floor.checked_sub(1) {
            None => (self.steps, self.values) = Default::default(),
            Some(level) => self.levels[level] = Vec::new(),
        }
        self.floor += 1;
    }

    /// Removes values after `step`; of a thinned curve, also up to two stretches before.
    pub fn truncate(&mut self, step: u64) {
        if step < self.last {
            self.cut(self.parts_until(|known| known <= step));
        }
    }

    /// Keeps the first `parts` parts of the finest level. The last stretch may have points after its known end.
    fn cut(&mut self, parts: usize) {
        let parts = if self.floor == 0 { parts } else { parts.saturating_sub(1) };
        let size = BRANCHING.pow(self.floor as u32);
        self.count = parts * size;
        match self.floor.checked_sub(1) {
            None => {
                self.steps.truncate(parts);
                self.values.truncate(parts);
            }
            Some(level) => self.levels[level].truncate(parts),
        }
        for level in self.floor..self.levels.len() {
            self.rebuild(level, self.count / BRANCHING.pow(level as u32 + 1));
        }
        self.last = parts.checked_sub(1).map_or(0, |last| self.end_of(last));
    }

    /// Recomputes the stretches of a level from index `first` on.
    fn rebuild(&mut self, level: usize, first: usize) {
        self.levels[level].truncate(first);
        let parts = if level == 0 { self.values.len() } else { self.levels[level - 1].len() };
        for start in (first * BRANCHING..parts).step_by(BRANCHING) {
            let mut all = (start..parts.min(start + BRANCHING)).map(|part| self.stretch(level, part));
            let mut sum = all.next().expect("not empty");
            all.for_each(|part| sum.add(&part));
            self.levels[level].push(sum);
        }
    }

    /// Returns the part below `level` at an index: a stretch of the level before, or a point.
    fn stretch(&self, level: usize, at: usize) -> Stretch {
        if level == 0 { Stretch::of(self.steps[at], self.values[at]) } else { self.levels[level - 1][at] }
    }

    /// Number of parts of the finest level: points, if no level was dropped.
    fn parts(&self) -> usize {
        self.floor.checked_sub(1).map_or(self.values.len(), |level| self.levels[level].len())
    }

    /// Returns the step of a point, or the last known step of a stretch.
    fn end_of(&self, part: usize) -> u64 {
        if self.floor == 0 {
            return self.steps[part];
        }
        let stretch = self.stretch(self.floor, part);
        stretch.min.0.max(stretch.max.0)
    }

    /// Returns the number of parts of the finest level before the first whose end is not `before`.
    fn parts_until(&self, before: impl Fn(u64) -> bool) -> usize {
        let (mut low, mut high) = (0, self.parts());
        while low < high {
            let middle = low.midpoint(high);
            if before(self.end_of(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true if it has no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last step, also of a thinned curve; 0 if empty.
    pub fn end(&self) -> u64 {
        self.last
    }

    /// First and last step; none if the points were dropped.
    pub fn range(&self) -> Option<(u64, u64)> {
        Some((*self.steps.first()?, *self.steps.last()?))
    }

    /// The last value; none if the points were dropped.
    pub fn last(&self) -> Option<f64> {
        self.values.last().copied().map(f64::from)
    }

    /// Returns the value at the last step that is not after `step`; none if the points were dropped.
    pub fn at(&self, step: f64) -> Option<(u64, f64)> {
        let after = self.steps.partition_point(|&known| known as f64 <= step);
        let at = after.checked_sub(1)?;
        Some((self.steps[at], f64::from(self.values[at])))
    }

    /// Returns the whole curve in `pixels` columns.
    pub fn whole(&self, pixels: usize) -> Vec<Column> {
        self.columns(0.0, self.last as f64, pixels)
    }

    /// Returns the part between two steps in `pixels` columns: at most one [`Column`] for each pixel, and one
    /// more on either side, so that lines reach the edges.
    pub fn columns(&self, from: f64, to: f64, pixels: usize) -> Vec<Column> {
        let first = self.parts_until(|step| (step as f64) < from).saturating_sub(1);
        let end = (self.parts_until(|step| step as f64 <= to) + 1).min(self.parts());
        if first >= end || pixels == 0 {
            return Vec::new();
        }
        let (level, size) = self.level(end - first, pixels);
        let width = ((to - from) / pixels as f64).max(f64::MIN_POSITIVE);
        let mut columns: Vec<(i64, Stretch)> = Vec::with_capacity(pixels + 2);
        for at in first / size..end.div_ceil(size) {
            let stretch = self.stretch(level, at);
            let column = ((stretch.middle() - from) / width).floor().clamp(-1.0, pixels as f64) as i64;
            match columns.last_mut() {
                Some((last, sum)) if *last == column && end - first > pixels => sum.add(&stretch),
                _ => columns.push((column, stretch)),
            }
        }
        columns.into_iter().map(|(_, stretch)| column(&stretch)).collect()
    }

    /// Returns the finest level with at most four stretches per pixel, and the number of finest parts in each.
    fn level(&self, parts: usize, pixels: usize) -> (usize, usize) {
        let (mut level, mut size) = (self.floor, 1);
        while parts / size > 4 * pixels && level < self.levels.len() {
            level += 1;
            size *= BRANCHING;
        }
        (level, size)
    }
}

fn column(stretch: &Stretch) -> Column {
    let point = |(step, value): (u64, f32)| (step as f64, f64::from(value));
    let (min, max) = (point(stretch.min), point(stretch.max));
    let ends = if min.0 <= max.0 { [min, max] } else { [max, min] };
    Column { ends, mean: stretch.sum / f64::from(stretch.count), middle: stretch.middle(), count: stretch.count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(step: u64) -> f64 {
        f64::from((step.wrapping_mul(2_654_435_761) % 1000) as u32) / 1000.0
    }

    fn curve(steps: u64) -> Curve {
        let mut curve = Curve::default();
        (1..=steps).for_each(|step| curve.push(step, noisy(step)));
        curve
    }

    #[test]
    fn no_peak_is_lost_at_any_zoom() {
        let mut curve = curve(100_000);
        curve.push(100_001, 50.0);
        curve.push(100_002, -50.0);
        (100_003..=200_000).for_each(|step| curve.push(step, noisy(step)));
        for (from, to) in [(0.0, 200_000.0), (90_000.0, 110_000.0), (99_990.0, 100_010.0)] {
            let columns = curve.columns(from, to, 300);
            assert!(columns.len() <= 302, "{}", columns.len());
            let values = || columns.iter().flat_map(|column| column.ends.map(|(_, value)| value));
            assert_eq!((values().fold(f64::MIN, f64::max), values().fold(f64::MAX, f64::min)), (50.0, -50.0));
            assert!(columns.windows(2).all(|pair| pair[0].ends[1].0 < pair[1].ends[0].0), "columns are in order");
        }
    }

    #[test]
    fn few_points_are_themselves() {
        let curve = curve(40);
        let columns = curve.columns(0.0, 40.0, 300);
        assert_eq!(columns.len(), 40);
        assert!(columns.iter().enumerate().all(|(n, column)| column.ends[0] == ((n + 1) as f64, f64::from(noisy(n as u64 + 1) as f32))));
        assert_eq!(curve.at(7.5).unwrap().0, 7);
    }

    #[test]
    fn removed_points_leave_no_trace() {
        for keep in [0, 1, 3, 16, 63, 64, 65, 500, 999] {
            let mut cut = curve(1000);
            cut.truncate(keep);
            assert_eq!(cut.range().map_or(0, |(_, last)| last), keep);
            (keep + 1..=3000).for_each(|step| cut.push(step, noisy(step)));
            let straight = curve(3000);
            assert!(cut.levels.len() == straight.levels.len() && cut.len() == straight.len());
            for (a, b) in cut.levels.iter().flatten().zip(straight.levels.iter().flatten()) {
                assert!(a.min == b.min && a.max == b.max && a.count == b.count && (a.sum - b.sum).abs() < 1e-9);
            }
        }
        // A repeated step replaces all points from it on.
        let mut repeated = curve(1000);
        repeated.push(500, 0.25);
        assert_eq!((repeated.range(), repeated.last()), (Some((1, 500)), Some(0.25)));
    }

    #[test]
    fn a_thinned_curve_stays_small_and_keeps_its_peaks_and_mean() {
        let mut curve = Curve::thinned(100);
        for step in 0..1_000_000_u64 {
            curve.push(
                step,
                match step {
                    777_777 => 99.0,
                    123_456 => -99.0,
                    step => (step % 7) as f64,
                },
            );
        }
        assert!(curve.steps.is_empty() && curve.levels.iter().map(Vec::len).sum::<usize>() < 150 && curve.len() == 1_000_000);
        for pixels in [10, 25, 600] {
            let columns = curve.whole(pixels);
            let points: Vec<_> = columns.iter().flat_map(Column::points).collect();
            assert!(
                columns.len() >= pixels.min(25) / 2 && columns.len() <= 102 && points.contains(&&(777_777.0, 99.0)) && points.contains(&&(123_456.0, -99.0)),
                "{}",
                columns.len()
            );
            assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0) && columns.iter().map(|column| column.count).sum::<u32>() == 1_000_000);
            assert!(columns.iter().all(|column| (column.mean - 3.0).abs() < 0.1));
        }
        // A repeated step replaces all points from it on, within a stretch.
        curve.push(500_000, 1.0);
        assert!((400_000..=500_001).contains(&curve.len()), "{}", curve.len());
        curve.push(500_001, 2.0);
        assert_eq!(curve.whole(10).iter().map(|column| column.count as usize).sum::<usize>(), curve.len());
    }

    #[test]
    fn values_that_are_not_finite_are_left_out() {
        let mut curve = Curve::default();
        [f64::NAN, f64::INFINITY, 1e300, 1.0].iter().zip(1..).for_each(|(&value, step)| curve.push(step, value));
        assert_eq!((curve.len(), curve.last()), (1, Some(1.0)));
        assert!(Curve::default().columns(0.0, 1.0, 10).is_empty());
    }
}
