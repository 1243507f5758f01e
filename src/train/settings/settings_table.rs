//! The table of settings, in the order of `signet train --help`. Pure.

use super::PathKind::{File, FileOrFolder, Folder};
use super::SettingGroup::{Batch, Evaluation, Guard, Memory, Model, Optimizer, Schedule, Start, Teacher};
use super::SettingKind::{Choice, Flag, Named, Path, Paths, PowerOfTwo, Real, Text, Whole};
use super::setting_value::SettingField;
use super::{NONE, Setting, Words};
use crate::model::PRESET_CHOICES;
use crate::ops::{DIVERGENCE_CHOICES, DIVERGENCE_HELP};

/// Maximum number of steps.
const STEPS: u64 = 1 << 40;
/// The largest integer in TOML.
const LARGEST: u64 = i64::MAX as u64;

const MODELS: Words = &PRESET_CHOICES;
const TEACHERS: Words = &[("embedded", "part of the program"), (NONE, "no teacher: next-token loss alone")];
const TOKENIZERS: Words = &[("embedded", "the teacher's, or that of the program")];
const HELD_OUT: Words = &[(NONE, "a share of the text")];
const CACHES: Words = &[(NONE, "the teacher itself is asked")];
const INITS: Words = &[("scratch", "random"), ("teacher", "the teacher's weights, which must have the student's shape")];
const LOSSES: Words = &[("ad", "the teacher's distribution"), ("ar", "the next token"), ("mix", "half of each")];
const DIVERGENCES: Words = &DIVERGENCE_CHOICES;
const RECOMPUTATIONS: Words =
    &[("auto", "as little as makes the run fit"), ("on", "all of a block's"), ("light", "what norms and SwiGLU give"), ("off", "never")];
const MOMENTS: Words = &[("f32", "32 bits"), ("q8", "8-bit codes: a quarter of the memory")];
const STORAGES: Words = &[("f16", "16 bits"), ("f32", "32 bits"), ("q8", "8-bit blocks")];
const PRECISIONS: Words = &[("f32", "32 bits"), ("f16", "16 bits, where that is faster on a GPU")];

/// A row of the table: field of `TrainConfig`, kind, group, position in the group, label, help.
macro_rules! row {
    ($field:ident $(. $inner:ident)?, $kind:expr, $group:expr, $position:expr, $label:expr, $help:expr) => {
        Setting {
            name: concat!(stringify!($field) $(, ".", stringify!($inner))?),
            kind: $kind,
            group: $group,
            position: $position,
            label: $label,
            help: $help,
            option_help: $help,
            value_name: None,
            live: false,
            before: None,
            long: None,
            inverted: false,
            get: |config| SettingField::get(&config.$field $(.$inner)?),
            set: |config, value| SettingField::set(&mut config.$field $(.$inner)?, value),
        }
    };
}

impl Setting {
    /// Sets another help text for its option, where the form lists the named values itself, or the option sets the opposite.
    const fn option_help(self, option_help: &'static str) -> Self {
        Self { option_help, ..self }
    }

    /// Sets the name of its option.
    const fn long(self, long: &'static str) -> Self {
        Self { long: Some(long), ..self }
    }

    /// Makes its option set the opposite value.
    const fn inverted(self) -> Self {
        Self { inverted: true, ..self }
    }

    /// Sets the placeholder of its value in `--help`.
    const fn value_name(self, name: &'static str) -> Self {
        Self { value_name: Some(name), ..self }
    }

    /// Allows it to change during training.
    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Sets its value in runs older than the setting.
    const fn before(self, value: &'static str) -> Self {
        Self { before: Some(value), ..self }
    }
}

/// All settings.
pub const SETTINGS: &[Setting] = &[
    row!(model, Named(MODELS, File), Model, 1, "Model", "The size of the student, or the path of a config.json")
        .option_help("tiny, 5M, 130M, 1.3B, 7B, 13B, or the path of a config.json"),
    row!(binary, Flag, Model, 2, "Binarize the linear layers", "Off keeps full precision: a teacher, or a baseline")
        .option_help("Keep the linear layers in full precision: a teacher, or a baseline")
        .long("full-precision")
        .inverted(),
    // Early versions wrote no line for a run without a teacher.
    row!(
        teacher,
        Named(TEACHERS, FileOrFolder),
        Teacher,
        1,
        "Teacher",
        "The teacher: embedded, none, a model directory, or its name on Hugging Face (owner/name)"
    )
    .before(NONE),
    row!(
        teacher_cache,
        Path(CACHES, Folder),
        Start,
        2,
        "Teacher cache",
        "Learn from this cache of the teacher, made by `signet teach`, in place of the teacher itself"
    )
    .value_name("DIR")
    .before(NONE),
    row!(eval_teacher, Flag, Start, 3, "Measure against the teacher", "With a cache: measure held-out text against the teacher itself, which takes its memory")
        .before("false"),
    row!(
        teacher_storage,
        Choice(STORAGES),
        Memory,
        3,
        "Teacher's matrices",
        "How the teacher's matrices are kept on the device: f16, f32, or q8 (8-bit blocks)"
    )
    .before("f32"),
    row!(
        tokenizer,
        Named(TOKENIZERS, File),
        Teacher,
        2,
        "Tokenizer",
        "embedded, or a tokenizer.json or its directory, with the tokens and the chat template that the files beside it declare"
    ),
    row!(
        data,
        Paths,
        Teacher,
        5,
        "Text to train on",
        "Files of text to train on, plain or JSON lines, also as .gz or .zst, or patterns such as 'books/*.txt'; the embedded corpus without any"
    ),
    row!(
        field,
        Text,
        Start,
        4,
        "Field of rows",
        "Of JSON lines the field that is read; auto takes text, messages (through the model's chat template) or token_ids"
    )
    .value_name("NAME")
    .before("auto"),
    row!(
        held_out_share,
        Real(1e-6, 0.5),
        Evaluation,
        8,
        "Share held out",
        "The share of documents that is held out (0.02 is one in fifty); of fewer than fifty, of the text's end"
    )
    .value_name("SHARE")
    .before("0.02"),
    row!(held_out, Path(HELD_OUT, File), Evaluation, 9, "Text held out", "A file, or a pattern of several, that is held out in place of a share")
        .value_name("FILE")
        .before(NONE),
    row!(
        shuffle,
        Whole(0, LARGEST),
        Start,
        5,
        "Shuffle documents",
        "Shuffle documents as wholes, in an order that this number decides; 0 leaves them as they lie"
    )
    .value_name("SEED")
    .before("0"),
    row!(init, Named(INITS, FileOrFolder), Start, 1, "First weights", "First weights: scratch, teacher, or a model directory"),
    row!(loss, Choice(LOSSES), Teacher, 3, "Loss", "ad (the teacher's distribution), ar (the next token), or mix (half of each)"),
    row!(divergence, Choice(DIVERGENCES), Teacher, 4, "Divergence", "How far from the teacher is measured, where it is learnt from")
        .option_help(DIVERGENCE_HELP)
        .before("forward"),
    row!(temperature, Real(0.05, 20.0), Optimizer, 6, "Temperature", "Temperature of the distillation: divides the logits of both"),
    row!(precision, Choice(PRECISIONS), Memory, 4, "Precision", "f32, or f16: whether dense products may hold their factors in f16 on a GPU").before("f32"),
    row!(loss_scale, PowerOfTwo(24), Memory, 5, "Loss scale", "Power of two that the loss is multiplied by on the device; f16 needs 1024 or more"),
    row!(seed, Whole(0, LARGEST), Optimizer, 7, "Seed", "Decides initial weights and the order of data"),
    row!(batch, Whole(1, 1 << 16), Batch, 1, "Batch", "Sequences in a micro-step"),
    row!(seq, Whole(1, 1 << 20), Batch, 2, "Sequence length", "Tokens in a sequence"),
    row!(accumulate, Whole(1, 1 << 20), Batch, 3, "Accumulate", "Micro-steps in an optimizer step"),
    row!(
        recompute,
        Choice(RECOMPUTATIONS),
        Memory,
        1,
        "Compute activations again",
        "Compute activations again instead of holding them: auto (as little as makes the run fit), light (norms and SwiGLU only), on, or off"
    )
    .before("off"),
    row!(steps, Whole(1, STEPS), Schedule, 1, "Steps", "Optimizer steps"),
    row!(lr, Real(0.0, 10.0), Schedule, 2, "Learning rate", "Highest learning rate").live(),
    row!(end_lr, Real(0.0, 10.0), Schedule, 4, "Learning rate at the end", "What the cosine falls to").option_help("Learning rate at the end"),
    row!(warmup, Whole(0, STEPS), Schedule, 3, "Warm-up", "Steps of warm-up"),
    row!(moments, Choice(MOMENTS), Memory, 2, "Moments", "How AdamW's moments are stored: f32, or q8 (blocks of 8-bit codes)").before("f32"),
    row!(weight_decay, Real(0.0, 10.0), Optimizer, 4, "Weight decay", "How strongly weights are drawn to 0").option_help("Weight decay"),
    row!(clip, Real(1e-6, 1e30), Optimizer, 5, "Clip", "Largest gradient norm"),
    row!(beta1, Real(0.0, 0.999_999), Optimizer, 1, "Beta 1", "How slowly AdamW's mean of gradients moves").option_help("β₁ of AdamW"),
    row!(beta2, Real(0.0, 0.999_999), Optimizer, 2, "Beta 2", "How slowly AdamW's mean of their squares moves").option_help("β₂ of AdamW"),
    row!(epsilon, Real(1e-30, 1.0), Optimizer, 3, "Epsilon", "Added to the root of that mean, so that nothing is divided by 0").option_help("ε of AdamW"),
    row!(eval_every, Whole(0, STEPS), Evaluation, 1, "Evaluate every", "Steps between looks at held-out text; 0 for only at checkpoints")
        .option_help("Steps between evaluations on held-out text"),
    row!(eval_batches, Whole(1, 1 << 20), Evaluation, 2, "Held-out batches", "Held-out batches looked at"),
    row!(sample_every, Whole(0, STEPS), Evaluation, 3, "Sample every", "Steps between samples of text; 0 for none"),
    row!(sample_prompt, Text, Evaluation, 4, "Sample prompt", "What samples continue").live(),
    row!(sample_tokens, Whole(0, 1 << 16), Evaluation, 5, "Sample tokens", "Tokens of a sample"),
    row!(checkpoint_every, Whole(0, STEPS), Evaluation, 6, "Checkpoint every", "Steps between checkpoints; 0 for one at the end"),
    row!(keep, Whole(1, 1 << 20), Evaluation, 7, "Checkpoints kept", "Checkpoints kept, besides the best"),
    row!(guard.enabled, Flag, Guard, 1, "Guard", "Whether spikes are skipped and rolled back; steps that are not finite are never taken")
        .option_help("Skip and roll back spikes; --guard=false only skips steps that are not finite")
        .long("guard"),
    row!(guard.window, Whole(1, 1 << 16), Guard, 2, "Guard: window", "Guard: steps it remembers").value_name("STEPS"),
    row!(guard.patience, Whole(1, 1 << 16), Guard, 3, "Guard: patience", "Guard: steps it needs before it judges").value_name("STEPS"),
    row!(guard.norm_z, Real(0.0, 1e9), Guard, 4, "Guard: norm z", "Guard: robust z-score of the gradient norm above which a step is skipped").value_name("Z"),
    row!(guard.loss_z, Real(0.0, 1e9), Guard, 5, "Guard: loss z", "Guard: robust z-score of the loss above which a step is a spike").value_name("Z"),
    row!(guard.tolerate, Whole(1, 1 << 20), Guard, 6, "Guard: tolerate", "Guard: spikes or skipped steps in a row after which the run rolls back")
        .value_name("STEPS"),
    row!(guard.rollbacks, Whole(0, 1 << 20), Guard, 7, "Guard: rollbacks", "Guard: rollbacks after which the run stops").value_name("N"),
];
