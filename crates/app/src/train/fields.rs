//! Every setting that the form offers: what it is called, what it does, and how it is given.

use Kind::{Choice, Flag, Named, Real, Text, Whole};
use signet::runner::InputKind;

/// How a setting is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Whole,
    /// A number.
    Real,
    /// Yes or no.
    Flag,
    /// Any text.
    Text,
    /// One of some words, each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
    /// One of some words, or the path of a file of this kind.
    Named(&'static [(&'static str, &'static str)], InputKind),
}

/// Where a setting stands in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// What is trained.
    Model,
    /// What it learns from.
    Teacher,
    /// How long, and how fast.
    Schedule,
    /// How much at once.
    Batch,
    /// The rest, in groups that are closed at first.
    Advanced(&'static str),
}

/// A setting.
pub(super) struct Field {
    /// As TOML has it; those of the guard begin with `guard.`.
    pub(super) name: &'static str,
    /// What it is called.
    pub(super) label: &'static str,
    /// What it does, in a line.
    pub(super) help: &'static str,
    /// How it is given.
    pub(super) kind: Kind,
    /// Where it stands.
    pub(super) group: Group,
}

/// The word that stands for no path.
pub(super) const NONE: &str = "none";

const MODELS: &[(&str, &str)] = &[
    ("tiny", "4 blocks of width 192: minutes on a CPU"),
    ("5M", "4 blocks of width 256"),
    ("130M", "12 blocks of width 768"),
    ("1.3B", "24 blocks of width 2048"),
    ("7B", "32 blocks of width 4096"),
    ("13B", "40 blocks of width 5120"),
];
const TEACHER: &[(&str, &str)] = &[("embedded", "part of the program"), (NONE, "no teacher: next-token loss alone")];
const EMBEDDED: &[(&str, &str)] = &[("embedded", "the teacher's, or that of the program")];
const HELD_OUT: &[(&str, &str)] = &[(NONE, "a share of the text")];
const CACHE: &[(&str, &str)] = &[(NONE, "the teacher itself is asked")];
const INIT: &[(&str, &str)] = &[("scratch", "random"), ("teacher", "the teacher's weights, which must have the student's shape")];
const LOSSES: &[(&str, &str)] = &[("ad", "the teacher's distribution"), ("ar", "the next token"), ("mix", "half of each")];
const DIVERGENCES: &[(&str, &str)] = &[
    ("forward", "KL(teacher‖student), as in the paper: the student must cover all that the teacher says"),
    ("reverse", "KL(student‖teacher): the student must say nothing that the teacher would not"),
    ("js", "Jensen–Shannon: between the two"),
];
const RECOMPUTE: &[(&str, &str)] =
    &[("auto", "as little as makes the run fit"), ("on", "all of a block's"), ("light", "what norms and SwiGLU give"), ("off", "never")];
const MOMENTS: &[(&str, &str)] = &[("f32", "32 bits"), ("q8", "8-bit codes: a quarter of the memory")];
const STORAGE: &[(&str, &str)] = &[("f16", "16 bits"), ("f32", "32 bits"), ("q8", "8-bit blocks")];
const PRECISION: &[(&str, &str)] = &[("f32", "32 bits"), ("f16", "16 bits, where that is faster on a GPU")];

const OPTIMIZER: Group = Group::Advanced("Optimizer");
const MEMORY: Group = Group::Advanced("Memory and precision");
const WATCH: Group = Group::Advanced("Evaluation, samples, checkpoints");
const GUARD: Group = Group::Advanced("Guard against spikes");
const START: Group = Group::Advanced("Start and teacher cache");

const fn field(group: Group, name: &'static str, kind: Kind, label: &'static str, help: &'static str) -> Field {
    Field { name, label, help, kind, group }
}

/// All settings but the list of text files, in the order of the form.
pub(super) const FIELDS: &[Field] = &[
    field(Group::Model, "model", Named(MODELS, InputKind::Shape), "Model", "The size of the student, or the path of a config.json"),
    field(Group::Model, "binary", Flag, "Binarize the linear layers", "Off keeps full precision: a teacher, or a baseline"),
    field(Group::Teacher, "teacher", Named(TEACHER, InputKind::Model), "Teacher", "The model whose distribution the student learns"),
    field(
        Group::Teacher,
        "tokenizer",
        Named(EMBEDDED, InputKind::Tokenizer),
        "Tokenizer",
        "The teacher's own where it has one; else the program's, or a tokenizer.json or its directory",
    ),
    field(Group::Teacher, "loss", Choice(LOSSES), "Loss", "What is minimised"),
    field(Group::Teacher, "divergence", Choice(DIVERGENCES), "Divergence", "How far from the teacher is measured, where it is learnt from"),
    field(Group::Schedule, "steps", Whole, "Steps", "Optimizer steps of the whole run"),
    field(Group::Schedule, "lr", Real, "Learning rate", "Its highest value, after the warm-up"),
    field(Group::Schedule, "warmup", Whole, "Warm-up", "Steps in which the learning rate rises from 0"),
    field(Group::Schedule, "end_lr", Real, "Learning rate at the end", "What the cosine falls to"),
    field(Group::Batch, "batch", Whole, "Batch", "Sequences in a micro-step: takes memory"),
    field(Group::Batch, "seq", Whole, "Sequence length", "Tokens in a sequence: takes memory"),
    field(Group::Batch, "accumulate", Whole, "Accumulate", "Micro-steps in a step: takes time, but no memory"),
    field(OPTIMIZER, "beta1", Real, "Beta 1", "How slowly AdamW's mean of gradients moves"),
    field(OPTIMIZER, "beta2", Real, "Beta 2", "How slowly AdamW's mean of their squares moves"),
    field(OPTIMIZER, "epsilon", Real, "Epsilon", "Added to the root of that mean, so that nothing is divided by 0"),
    field(OPTIMIZER, "weight_decay", Real, "Weight decay", "How strongly weights are drawn to 0"),
    field(OPTIMIZER, "clip", Real, "Clip", "The largest gradient norm; longer gradients are shortened to it"),
    field(OPTIMIZER, "temperature", Real, "Temperature", "Divides the logits of student and teacher in the distillation"),
    field(OPTIMIZER, "seed", Whole, "Seed", "Decides first weights and the order of the text"),
    field(MEMORY, "recompute", Choice(RECOMPUTE), "Compute activations again", "Takes time instead of memory; the bits are the same"),
    field(MEMORY, "moments", Choice(MOMENTS), "Moments", "How AdamW's moments are stored"),
    field(MEMORY, "teacher_storage", Choice(STORAGE), "Teacher's matrices", "How they are kept on the device; what rounding costs is reported"),
    field(MEMORY, "precision", Choice(PRECISION), "Precision", "In what dense products may hold their factors on a GPU"),
    field(MEMORY, "loss_scale", Real, "Loss scale", "A power of two by which the loss is multiplied on the device; f16 needs 1024 or more"),
    field(WATCH, "eval_every", Whole, "Evaluate every", "Steps between looks at held-out text; 0 for only at checkpoints"),
    field(WATCH, "eval_batches", Whole, "Held-out batches", "How many are looked at"),
    field(WATCH, "sample_every", Whole, "Sample every", "Steps between samples of text; 0 for none"),
    field(WATCH, "sample_prompt", Text, "Sample prompt", "What samples continue"),
    field(WATCH, "sample_tokens", Whole, "Sample tokens", "How long a sample is"),
    field(WATCH, "checkpoint_every", Whole, "Checkpoint every", "Steps between checkpoints; 0 for one at the end"),
    field(WATCH, "keep", Whole, "Checkpoints kept", "Besides the best"),
    field(WATCH, "held_out_share", Real, "Share held out", "Of documents, or if they are few of the text's end: never trained on, only measured"),
    field(WATCH, "held_out", Named(HELD_OUT, InputKind::Text), "Text held out", "A file, or a pattern of several, that is held out in place of a share"),
    field(GUARD, "guard.enabled", Flag, "Guard", "Whether spikes are skipped and rolled back; steps that are not finite are never taken"),
    field(GUARD, "guard.window", Whole, "Guard: window", "Steps it remembers"),
    field(GUARD, "guard.patience", Whole, "Guard: patience", "Steps it needs before it judges"),
    field(GUARD, "guard.norm_z", Real, "Guard: norm z", "Robust z-score of the gradient norm above which a step is not taken"),
    field(GUARD, "guard.loss_z", Real, "Guard: loss z", "Robust z-score of the loss above which a step counts as a spike"),
    field(GUARD, "guard.tolerate", Whole, "Guard: tolerate", "Spikes in a row after which the run rolls back"),
    field(GUARD, "guard.rollbacks", Whole, "Guard: rollbacks", "Rollbacks after which the run stops"),
    field(START, "init", Named(INIT, InputKind::Model), "First weights", "Where they come from; a path names a model of the same shape"),
    field(
        START,
        "teacher_cache",
        Named(CACHE, InputKind::TeacherCache),
        "Teacher cache",
        "A folder made by `signet teach`: the student learns from it in place of the teacher",
    ),
    field(
        START,
        "eval_teacher",
        Flag,
        "Measure against the teacher",
        "With a cache: held-out text is measured against the teacher itself, which takes its memory",
    ),
    field(START, "field", Text, "Field of rows", "What is read of JSON lines: auto takes text, messages or token_ids"),
    field(START, "shuffle", Whole, "Shuffle documents", "Decides their order; 0 leaves them as they lie in the files"),
];

/// The field of a setting; none for the list of text files.
pub(super) fn field_of(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}
