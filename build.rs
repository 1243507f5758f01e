//! Expands the imports and variants of `shaders/*.wgsl`, validates them with naga, and writes the table
//! of kernels that `src/device/kernels.rs` includes. An error in a shader fails the build.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use naga::WithSpan;
use naga::proc::Layouter;
use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationError, ValidationFlags, Validator};
use naga::{AddressSpace, CooperativeRole, EntryPoint, Expression, Literal, Module, Scalar, ScalarKind, StorageAccess, StructMember, TypeInner};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A result whose error is a message about a shader.
type Checked<T> = Result<T, String>;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shaders");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rustc-env=WGPU_VERSION={}", locked_version("wgpu"));
    let table = table(Path::new("shaders")).unwrap_or_else(|problems| {
        eprintln!("{problems}");
        std::process::exit(1);
    });
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("kernels.rs");
    std::fs::write(&out, table).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// The version of a package in Cargo.lock, for reports.
fn locked_version(package: &str) -> String {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let after = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map(|(_, rest)| rest);
    after.and_then(|rest| rest.split('"').next()).unwrap_or("of unknown version").into()
}

/// Returns the Rust source of the table of all kernels, or the errors of all shaders.
fn table(folder: &Path) -> Checked<String> {
    let shared = read_folder(&folder.join("shared"))?;
    let mut sources = String::new();
    let mut kernels = BTreeMap::new();
    let mut problems = Vec::new();
    for (file, text) in read_folder(folder)? {
        let stem = file.trim_end_matches(".wgsl");
        let variants = variants(&text);
        for variant in std::iter::once(None).chain(variants.iter().map(|name| Some(*name))) {
            let unit = format!("shaders/{file}{}", variant.map_or(String::new(), |name| format!(" (variant {name})")));
            let mut expansion = Expansion { shared: &shared, variants: &variants, variant, imported: BTreeSet::new(), open: Vec::new(), out: String::new() };
            let reflected = expansion.file(&format!("shaders/{file}"), &text).and_then(|()| reflect(&unit, &expansion.out));
            let entries = reflected.unwrap_or_else(|problem| {
                problems.push(problem);
                Vec::new()
            });
            let source = format!("SOURCE_{}", kernels.len());
            writeln!(sources, "static {source}: &str = {:?};", without_comments(&expansion.out)).expect("written to a string");
            for (entry, fields) in entries {
                let name = format!("{stem}/{entry}{}", variant.map_or(String::new(), |name| format!(".{name}")));
                let row = format!("    Kernel {{ name: {name:?}, unit: {unit:?}, entry: {entry:?}, source: {source}, {fields} }},\n");
                kernels.insert(name, row);
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let rows: String = kernels.into_values().collect();
    Ok(format!("{sources}\n/// Every kernel, sorted by name.\npub static KERNELS: &[Kernel] = &[\n{rows}];\n"))
}

/// Removes comment lines and empty lines, a sixth of the shaders' size in the page.
fn without_comments(source: &str) -> String {
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Reads the WGSL files in a folder, sorted by name.
fn read_folder(folder: &Path) -> Checked<BTreeMap<String, String>> {
    let wrong = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| wrong(folder, error))? {
        let path = entry.map_err(|error| wrong(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "wgsl") {
            let text = std::fs::read_to_string(&path).map_err(|error| wrong(&path, error))?;
            files.insert(path.file_name().expect("a file").to_string_lossy().into_owned(), text);
        }
    }
    Ok(files)
}

/// The names after `#variants`.
fn variants(text: &str) -> Vec<&str> {
    text.lines().find_map(|line| line.strip_prefix("#variants")).map_or(Vec::new(), |names| names.split_whitespace().collect())
}

/// The expansion of one variant of a file.
struct Expansion<'a> {
    shared: &'a BTreeMap<String, String>,
    variants: &'a [&'a str],
    variant: Option<&'a str>,
    imported: BTreeSet<String>,
    open: Vec<String>,
    out: String,
}

/// An open `#if`.
struct Branch {
    line: usize,
    taken: bool,
    turned: bool,
}

impl Expansion<'_> {
    fn file(&mut self, file: &str, text: &str) -> Checked<()> {
        self.open.push(file.to_owned());
        let mut branches: Vec<Branch> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let at = |problem: &str| format!("{file}:{}: {problem}", index + 1);
            let active = branches.iter().all(|branch| branch.taken);
            let Some(directive) = line.trim_start().strip_prefix('#') else {
                if active {
                    self.out.push_str(line);
                    self.out.push('\n');
                }
                continue;
            };
            match directive.split_whitespace().collect::<Vec<_>>()[..] {
                ["variants", _, ..] if self.open.len() == 1 && index == 0 => {}
                ["variants", ..] => return Err(at("#variants NAME… belongs on the first line of an operation's file")),
                ["import", path] => {
                    if active {
                        self.import(path).map_err(|problem| at(&problem))?;
                    }
                }
                ["if", condition] => {
                    let taken = self.condition(condition).map_err(|problem| at(&problem))?;
                    branches.push(Branch { line: index + 1, taken, turned: false });
                }
                ["else"] => match branches.last_mut() {
                    Some(branch) if !branch.turned => *branch = Branch { taken: !branch.taken, turned: true, ..*branch },
                    _ => return Err(at("#else without #if")),
                },
                ["endif"] => {
                    branches.pop().ok_or_else(|| at("#endif without #if"))?;
                }
                _ => return Err(at("unknown directive; there are #import \"shared/NAME.wgsl\", #variants, #if, #else, #endif")),
            }
        }
        self.open.pop();
        match branches.pop() {
            Some(branch) => Err(format!("{file}:{}: #if without #endif", branch.line)),
            None => Ok(()),
        }
    }

    fn condition(&self, condition: &str) -> Checked<bool> {
        let (name, wanted) = condition.strip_prefix('!').map_or((condition, true), |name| (name, false));
        if !self.variants.iter().any(|variant| variant.split('.').any(|part| part == name)) {
            return Err(format!("{name} is not part of any of the variants {:?}; add it to #variants", self.variants));
        }
        Ok(self.variant.is_some_and(|variant| variant.split('.').any(|part| part == name)) == wanted)
    }

    fn import(&mut self, path: &str) -> Checked<()> {
        let name = path.strip_prefix("\"shared/").and_then(|path| path.strip_suffix('"'));
        let name = name.ok_or_else(|| format!("only \"shared/NAME.wgsl\" can be imported, not {path}"))?;
        let file = format!("shaders/shared/{name}");
        if self.open.contains(&file) {
            return Err(format!("circular import: {} → {file}", self.open.join(" → ")));
        }
        let text = self.shared.get(name).ok_or_else(|| format!("cannot find {file}"))?;
        match self.imported.insert(file.clone()) {
            true => self.file(&file, text),
            false => Ok(()),
        }
    }
}

/// Optional features of WebGPU: the names in naga and wgpu.
const FEATURES: [(Capabilities, &str); 3] =
    [(Capabilities::SUBGROUP, "SUBGROUP"), (Capabilities::SHADER_FLOAT16, "SHADER_F16"), (Capabilities::COOPERATIVE_MATRIX, "EXPERIMENTAL_COOPERATIVE_MATRIX")];

/// Validates a module; also returns the features that it requires, as an expression.
fn validate(module: &Module) -> Result<(ModuleInfo, String), Box<WithSpan<ValidationError>>> {
    // naga treats unpack2x16float as a capability, but it is core WGSL.
    let core = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let with = |capabilities| {
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all()).validate(module).map_err(Box::new)
    };
    let all = FEATURES.iter().fold(core, |all, (capability, _)| all | *capability);
    let info = with(all)?;
    let needed = FEATURES.iter().filter(|(capability, _)| with(all - *capability).is_err());
    Ok((info, needed.fold("Features::empty()".into(), |all, (_, name)| format!("{all}.union(Features::{name})"))))
}

/// Parses and validates an expanded source; returns the name and fields of each entry point.
fn reflect(unit: &str, source: &str) -> Checked<Vec<(String, String)>> {
    let module = naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string_with_path(source, unit))?;
    let (info, features) = validate(&module).map_err(|error| error.emit_to_string_with_path(source, unit))?;
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| format!("{unit}: {error}"))?;
    if module.entry_points.is_empty() {
        return Err(format!("{unit}: no entry point"));
    }
    let subgroups = format!("cooperative: {}, subgroups: {}", cooperative(&module)?, constant(&module, "SUBGROUPS").unwrap_or(0));
    let entries = module.entry_points.iter().enumerate();
    entries
        .map(|(index, entry)| {
            let fields = fields(&module, &layouter, entry, info.get_entry_point(index)).map(|fields| format!("features: {features}, {subgroups}, {fields}"));
            Ok((entry.name.clone(), fields.map_err(|problem| format!("{unit}, entry {}: {problem}", entry.name))?))
        })
        .collect()
}

/// Returns the kind of cooperative matrices of a module, as an expression; all factors must be of one kind.
fn cooperative(module: &Module) -> Checked<String> {
    let factor = |inner: &TypeInner| match inner {
        TypeInner::CooperativeMatrix { columns, scalar, role: CooperativeRole::A | CooperativeRole::B, .. } => {
            Some(format!("Some(Cooperative {{ size: {}, half: {} }})", *columns as u32, scalar.width == 2))
        }
        _ => None,
    };
    let kinds: BTreeSet<String> = module.types.iter().filter_map(|(_, ty)| factor(&ty.inner)).collect();
    match kinds.len() {
        0 | 1 => Ok(kinds.into_iter().next().unwrap_or_else(|| "None".into())),
        _ => Err(format!("cooperative matrices of different kinds: {kinds:?}")),
    }
}

/// Returns the value of an unsigned constant of a module.
fn constant(module: &Module, name: &str) -> Option<u32> {
    let (_, constant) = module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name))?;
    match module.global_expressions[constant.init] {
        Expression::Literal(Literal::U32(value)) => Some(value),
        _ => None,
    }
}

/// Returns the fields of an entry point's parameters, as an expression; each is one word.
fn params(module: &Module, block: &TypeInner) -> Checked<String> {
    let TypeInner::Struct { members, .. } = block else { return Err("the parameters must be a struct".into()) };
    let field = |(word, member): (usize, &StructMember)| {
        let name = member.name.as_deref().unwrap_or("?");
        let float = match module.types[member.ty].inner {
            TypeInner::Scalar(Scalar { kind: ScalarKind::Float, width: 4 }) => true,
            TypeInner::Scalar(Scalar { kind: ScalarKind::Uint, width: 4 }) => false,
            _ => return Err(format!("{name}: a parameter must be u32 or f32")),
        };
        if member.offset as usize != 4 * word {
            return Err(format!("{name}: parameters must be contiguous"));
        }
        Ok(format!("ParamField {{ name: {name:?}, float: {float} }}"))
    };
    let fields: Vec<String> = members.iter().enumerate().map(field).collect::<Checked<_>>()?;
    Ok(format!("&[{}]", fields.join(", ")))
}

/// Returns true if an entry point's parameters have `first_band`.
fn has_first_band(module: &Module, info: &FunctionInfo) -> bool {
    let mut used = module.global_variables.iter().filter(|(handle, variable)| !info[*handle].is_empty() && variable.space == AddressSpace::Uniform);
    used.any(|(_, variable)| match &module.types[variable.ty].inner {
        TypeInner::Struct { members, .. } => members.iter().any(|member| member.name.as_deref() == Some("first_band")),
        _ => false,
    })
}

/// Returns the fields of `Kernel` that follow from the bindings and memory of an entry point.
fn fields(module: &Module, layouter: &Layouter, entry: &EntryPoint, info: &FunctionInfo) -> Checked<String> {
    if entry.stage != naga::ShaderStage::Compute || entry.workgroup_size_overrides.is_some() {
        return Err("only compute entry points with a constant @workgroup_size are kernels".into());
    }
    let mut bindings = BTreeMap::new();
    let mut block = None;
    let mut workgroup_bytes = 0;
    for (_, variable) in module.global_variables.iter().filter(|(handle, _)| !info[*handle].is_empty()) {
        let layout = layouter[variable.ty];
        let name = variable.name.as_deref().unwrap_or("?");
        if variable.space == AddressSpace::WorkGroup {
            workgroup_bytes += layout.size.next_multiple_of(16);
        }
        let Some(binding) = variable.binding else { continue };
        if variable.space == AddressSpace::Uniform {
            block = Some(&module.types[variable.ty].inner);
        }
        if binding.group != 0 || bindings.insert(binding.binding, (variable.space, layout, name)).is_some() {
            return Err(format!("{name}: bindings must be in group 0, one variable each"));
        }
    }
    // A kernel reads num_workgroups to find its index in a folded grid.
    let counts = |argument: &naga::FunctionArgument| matches!(argument.binding, Some(naga::Binding::BuiltIn(naga::BuiltIn::NumWorkGroups)));
    let folded = entry.function.arguments.iter().any(counts);
    let bands = has_first_band(module, info);
    let (Some((AddressSpace::Uniform, ..)), Some(block)) = (bindings.remove(&0), block) else {
        return Err("@group(0) @binding(0) must be a var<uniform> that the entry point reads: the parameters".into());
    };
    let mut operands = Vec::new();
    for (expected, (binding, (space, _, name))) in (1..).zip(bindings) {
        if binding != expected {
            return Err(format!("{name}: binding {binding} should be {expected}; the operands of an entry point must have bindings from 1 on without gaps"));
        }
        operands.push(match space {
            AddressSpace::Storage { access } if access == StorageAccess::LOAD => "Access::Read",
            AddressSpace::Storage { .. } => "Access::Write",
            _ => return Err(format!("{name}: operands are var<storage>, not {space:?}")),
        });
    }
    Ok(format!(
        "workgroup: {:?}, workgroup_bytes: {workgroup_bytes}, params: {}, bands: {bands}, folded: {folded}, operands: &[{}]",
        entry.workgroup_size,
        params(module, block)?,
        operands.join(", ")
    ))
}
