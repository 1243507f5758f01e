//! Groups runs that differ only in the seed, and names the groups by the settings in which they differ. Pure.

use std::collections::BTreeMap;

/// Settings by their full names, as text.
pub(super) type Settings = BTreeMap<String, String>;

/// Adds the values of a table, with full names for those of inner tables.
pub(super) fn flatten(prefix: &str, table: &toml::Table, into: &mut Settings) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, into),
            toml::Value::String(text) => _ = into.insert(format!("{prefix}{key}"), text.clone()),
            value => _ = into.insert(format!("{prefix}{key}"), value.to_string()),
        }
    }
}

/// Returns the indices of the runs of each group, in the order of their first runs.
pub(super) fn groups(runs: &[Settings]) -> Vec<Vec<usize>> {
    let same = |a: &Settings, b: &Settings| {
        let but_the_seed =
            |settings: &Settings| settings.iter().filter(|(key, _)| *key != "seed").map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>();
        but_the_seed(a) == but_the_seed(b)
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (n, run) in runs.iter().enumerate() {
        match groups.iter_mut().find(|group| same(&runs[group[0]], run)) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
    }
    groups
}

/// Returns names for groups with these settings. Values that more than half of the groups share are left out; a group without
/// other values is named by all varied settings.
pub(super) fn names(groups: &[&Settings]) -> Vec<String> {
    let absent = "none".to_string();
    let value = |group: usize, key: &str| groups[group].get(key).unwrap_or(&absent);
    let keys: std::collections::BTreeSet<&str> = groups.iter().flat_map(|group| group.keys()).map(String::as_str).filter(|key| *key != "seed").collect();
    let varied: Vec<&str> = keys.into_iter().filter(|key| (1..groups.len()).any(|group| value(group, key) != value(0, key))).collect();
    let usual = |group: usize, key: &str| 2 * (0..groups.len()).filter(|&other| value(other, key) == value(group, key)).count() > groups.len();
    (0..groups.len())
        .map(|group| {
            let text = |keys: &[&str]| keys.iter().map(|key| format!("{key} {}", value(group, key))).collect::<Vec<_>>().join(", ");
            let own: Vec<&str> = varied.iter().copied().filter(|key| !usual(group, key)).collect();
            if own.is_empty() { text(&varied) } else { text(&own) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(settings: &[(&str, &str)]) -> Settings {
        settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn runs_with_different_seeds_form_a_group_named_by_varied_settings() {
        let losses = ["ad", "ar", "mix"];
        let runs: Vec<Settings> = (0..9).map(|n| run(&[("loss", losses[n % 3]), ("seed", &n.to_string()), ("lr", "0.001")])).collect();
        let found = groups(&runs);
        assert_eq!(found, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5, 8]]);
        let heads: Vec<&Settings> = found.iter().map(|group| &runs[group[0]]).collect();
        assert_eq!(names(&heads), ["loss ad", "loss ar", "loss mix"]);
        assert_eq!(names(&heads[..1]), [""]);
    }

    #[test]
    fn values_of_the_majority_are_left_out_of_names() {
        let all = |loss: &str, divergence: &str, temperature: &str| run(&[("divergence", divergence), ("loss", loss), ("temperature", temperature)]);
        let mut groups = [all("ad", "forward", "1"), all("ar", "forward", "1"), all("ad", "forward", "2"), all("ad", "js", "1"), all("mix", "js", "1")];
        groups[2].insert("teacher_cache".into(), "c".into());
        let heads: Vec<&Settings> = groups.iter().collect();
        // Keys are sorted alphabetically.
        let base = "divergence forward, loss ad, teacher_cache none, temperature 1";
        assert_eq!(names(&heads), [base, "loss ar", "teacher_cache c, temperature 2", "divergence js", "divergence js, loss mix"]);
    }

    #[test]
    fn settings_of_inner_tables_have_their_full_names() {
        let mut settings = Settings::new();
        flatten("", &toml::from_str("a = 1\nb = \"x\"\nc = [\"y\"]\n[d]\ne = 0.5\n").unwrap(), &mut settings);
        assert_eq!(settings, run(&[("a", "1"), ("b", "x"), ("c", "[\"y\"]"), ("d.e", "0.5")]));
    }
}
