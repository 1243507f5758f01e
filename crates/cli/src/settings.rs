//! Command-line options generated from the table of settings: all for `train`, a subset for commands that only read text.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use signet::runner::{self, SETTINGS, Setting, SettingKind, SettingValue, TrainConfig, setting};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::LazyLock;

/// The name of a setting, and its help text if it differs from that of `train`.
pub(super) type Name = (&'static str, Option<&'static str>);

/// The settings that are options of a command.
pub(super) trait SettingSubset {
    /// Their names, in the order of `--help`, in lists that commands share; none for all settings.
    const SOME: Option<&'static [&'static [Name]]>;
}

/// The settings for reading and splitting a text.
pub(super) const OF_TEXT: &[Name] = &[("field", None), ("held_out_share", None), ("held_out", None), ("shuffle", None), ("seq", None)];

/// Settings that are options of a command and override those of a file.
pub(super) trait WithConfigFile: SettingSubset {
    /// The help text of `--config`.
    const FILE: &'static str;
}

/// Options for a file of settings, and for settings that override it.
#[derive(Args)]
pub(super) struct FileAndOptions<T: WithConfigFile> {
    #[arg(long, value_name = "FILE", help = T::FILE)]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: SettingOptions<T>,
}

impl<T: WithConfigFile> FileAndOptions<T> {
    /// Returns the settings, with defaults for missing ones.
    pub(super) fn settings(&self) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.config {
            Some(path) => runner::settings(path)?,
            None => TrainConfig::default(),
        };
        self.options.set(&mut config);
        Ok(config)
    }

    /// Returns true if an option was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.has(name)
    }
}

/// The subset of all settings.
pub(super) struct All;

impl SettingSubset for All {
    const SOME: Option<&'static [&'static [Name]]> = None;
}

/// Options for a subset of settings, with the values given.
pub(super) struct SettingOptions<T> {
    given: Vec<(&'static Setting, SettingValue)>,
    subset: PhantomData<T>,
}

impl<T: SettingSubset> SettingOptions<T> {
    /// Returns the settings with the help texts of their options.
    fn rows() -> Vec<(&'static Setting, &'static str)> {
        let row = |(name, help): &Name| {
            let setting = setting(name).expect("commands name settings of the table");
            (setting, help.unwrap_or(setting.option_help))
        };
        T::SOME
            .map_or_else(|| SETTINGS.iter().map(|setting| (setting, setting.option_help)).collect(), |some| some.iter().copied().flatten().map(row).collect())
    }

    /// Returns true if any was given.
    pub(super) fn any(&self) -> bool {
        !self.given.is_empty()
    }

    /// Returns true if one was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(setting, _)| setting.name == name)
    }

    /// Sets the given values in `config`.
    pub(super) fn set(&self, config: &mut TrainConfig) {
        for (setting, value) in &self.given {
            setting.set(config, value.clone()).expect("it was tried when it was parsed");
        }
    }
}

impl<T: SettingSubset> Args for SettingOptions<T> {
    fn augment_args(command: Command) -> Command {
        command.args(Self::rows().into_iter().map(|(setting, help)| option(setting, help)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: SettingSubset> FromArgMatches for SettingOptions<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Self::rows().into_iter().filter_map(|(setting, _)| Some((setting, value(setting, matches)?))).collect();
        Ok(Self { given, subset: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the names of a setting's option and of its value, as the static strings that clap needs.
fn names(setting: &Setting) -> (&'static str, &'static str) {
    static NAMES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let names = |setting: &Setting| (setting.option(), setting.value_name.map_or_else(|| setting.name.to_uppercase(), String::from));
        SETTINGS.iter().map(names).collect()
    });
    let place = SETTINGS.iter().position(|other| other.name == setting.name).expect("it is in the table");
    let (option, value) = &NAMES[place];
    (option, value)
}

/// Returns a help text with the setting's default.
fn with_default(setting: &Setting, help: &str) -> String {
    let default = match setting.default() {
        SettingValue::Flag(value) => (value != setting.inverted).to_string(),
        value => value.to_string(),
    };
    if default.is_empty() { help.into() } else { format!("{help} [default: {default}]") }
}

/// Returns the option of a setting.
fn option(setting: &'static Setting, help: &'static str) -> Arg {
    let (long, value_name) = names(setting);
    let option = Arg::new(setting.name).long(long).help(with_default(setting, help)).value_name(value_name);
    // One of the names in TOML, or an error that lists them.
    let word = move |text: &str| setting.set(&mut TrainConfig::default(), SettingValue::Text(text.into())).map(|()| text.to_string());
    // Also checks that the value fits in usize.
    let whole = move |text: &str| {
        let value = text.parse::<u64>().map_err(|error| error.to_string())?;
        setting.set(&mut TrainConfig::default(), SettingValue::Whole(value)).map(|()| value)
    };
    match setting.kind {
        SettingKind::Flag => option.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(value_parser!(bool)),
        SettingKind::Whole(..) => option.value_parser(whole),
        SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => option.value_parser(value_parser!(f64)),
        SettingKind::Text | SettingKind::Named(..) => option.value_parser(value_parser!(String)),
        SettingKind::Choice(_) => option.value_parser(word),
        SettingKind::Path(..) => option.value_parser(value_parser!(PathBuf)),
        SettingKind::Paths => option.value_parser(value_parser!(PathBuf)).num_args(1..).action(ArgAction::Append),
    }
}

/// Returns the value of a setting, if its option was given.
fn value(setting: &Setting, matches: &ArgMatches) -> Option<SettingValue> {
    let name = setting.name;
    Some(match setting.kind {
        SettingKind::Flag => SettingValue::Flag(*matches.get_one::<bool>(name)? != setting.inverted),
        SettingKind::Whole(..) => SettingValue::Whole(*matches.get_one(name)?),
        SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => SettingValue::Real(*matches.get_one(name)?),
        SettingKind::Text | SettingKind::Named(..) | SettingKind::Choice(_) => SettingValue::Text(matches.get_one::<String>(name)?.clone()),
        SettingKind::Path(..) => SettingValue::Path(Some(matches.get_one::<PathBuf>(name)?.clone())),
        SettingKind::Paths => SettingValue::Paths(matches.get_many::<PathBuf>(name)?.cloned().collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingOptions<All>,
    }

    fn parsed(line: &[String]) -> TrainConfig {
        let mut config = TrainConfig::default();
        Line::parse_from(std::iter::once("train".to_string()).chain(line.iter().cloned())).settings.set(&mut config);
        config
    }

    /// Returns the option of a setting with a value that is not the default, and that value.
    fn other(setting: &Setting) -> (String, SettingValue) {
        let value = match (setting.kind, setting.default()) {
            (_, SettingValue::Flag(value)) => SettingValue::Flag(!value),
            (_, SettingValue::Whole(value)) => SettingValue::Whole(value + 1),
            (_, SettingValue::Real(value)) => SettingValue::Real(value * 2.0),
            (SettingKind::Choice(words), SettingValue::Text(now)) => SettingValue::Text(words.iter().find(|(word, _)| *word != now).unwrap().0.into()),
            (_, SettingValue::Text(_)) => SettingValue::Text("other".into()),
            (_, SettingValue::Path(_)) => SettingValue::Path(Some("other".into())),
            (_, SettingValue::Paths(_)) => SettingValue::Paths(vec!["other".into()]),
        };
        let typed = match &value {
            SettingValue::Flag(value) => (*value != setting.inverted).to_string(),
            value => value.to_string(),
        };
        (format!("--{}={typed}", setting.option()), value)
    }

    #[test]
    fn every_setting_has_an_option() {
        for setting in SETTINGS {
            let (line, value) = other(setting);
            let mut expected = TrainConfig::default();
            setting.set(&mut expected, value).unwrap();
            assert_eq!(parsed(std::slice::from_ref(&line)), expected, "{line}");
            assert!(expected != TrainConfig::default(), "{line}");
        }
        assert!(parsed(&[]) == TrainConfig::default());
        let lines: Vec<String> = SETTINGS.iter().map(|setting| other(setting).0).collect();
        let all = parsed(&lines);
        assert!(SETTINGS.iter().all(|setting| setting.get(&all) == other(setting).1));
    }

    #[test]
    fn the_error_of_an_unknown_choice_lists_the_known_ones() {
        let error = Line::try_parse_from(["train", "--loss", "kl"]).err().unwrap().to_string();
        assert!(error.contains("--loss <LOSS>") && error.contains("unknown variant `kl`, expected one of `ad`, `ar`, `mix`"), "{error}");
        assert!(!Line::parse_from(["train"]).settings.any() && Line::parse_from(["train", "--full-precision"]).settings.has("binary"));
    }
}
