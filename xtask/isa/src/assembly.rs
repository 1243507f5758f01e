//! Reads AMD's disassembled instructions: blocks, loops, and the loop in which a kernel spends most of its time.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Runs of a loop for each run of the code around it, to compare loops: real counts are known at run time only.
const RUNS: f64 = 8.0;

/// Instructions by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Fused multiply-adds of vectors, each half of a dual instruction as one.
    pub(crate) multiply_adds: u32,
    /// Operations of the matrix unit: WMMA and MFMA.
    pub(crate) matrix: u32,
    /// Other vector instructions.
    pub(crate) vector: u32,
    /// Scalar instructions, branches included.
    pub(crate) scalar: u32,
    /// Reads and writes of workgroup memory.
    pub(crate) workgroup_memory: u32,
    /// Reads and writes of other memory.
    pub(crate) memory: u32,
    /// Waits for memory and barriers. Not part of [`Counts::total`], as are hints to the scheduler, which are not counted.
    pub(crate) waits: u32,
}

/// A loop of a kernel, without the loops in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loop {
    /// 1 for a loop in no other.
    pub(crate) depth: u32,
    /// Instructions of a run.
    pub(crate) counts: Counts,
}

impl Counts {
    /// Instructions that compute, load, store or branch.
    pub(crate) fn total(&self) -> u32 {
        self.multiply_adds + self.matrix + self.vector + self.scalar + self.workgroup_memory + self.memory
    }

    /// Share of multiply-adds and matrix operations, of all instructions.
    pub(crate) fn share(&self) -> f64 {
        f64::from(self.multiply_adds + self.matrix) / f64::from(self.total().max(1))
    }

    fn add(&mut self, mnemonic: &str) {
        *match kind(mnemonic) {
            Some(Kind::MultiplyAdd) => &mut self.multiply_adds,
            Some(Kind::Matrix) => &mut self.matrix,
            Some(Kind::Vector) => &mut self.vector,
            Some(Kind::Scalar) => &mut self.scalar,
            Some(Kind::WorkgroupMemory) => &mut self.workgroup_memory,
            Some(Kind::Memory) => &mut self.memory,
            Some(Kind::Wait) => &mut self.waits,
            None => return,
        } += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            multiply_adds: self.multiply_adds + other.multiply_adds,
            matrix: self.matrix + other.matrix,
            vector: self.vector + other.vector,
            scalar: self.scalar + other.scalar,
            workgroup_memory: self.workgroup_memory + other.workgroup_memory,
            memory: self.memory + other.memory,
            waits: self.waits + other.waits,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    MultiplyAdd,
    Matrix,
    Vector,
    Scalar,
    WorkgroupMemory,
    Memory,
    Wait,
}

/// The kind of an instruction; `None` for hints to the scheduler and padding.
fn kind(mnemonic: &str) -> Option<Kind> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| mnemonic.starts_with(prefix));
    Some(match mnemonic {
        _ if starts(&["s_delay_alu", "s_nop", "s_clause", "s_set_inst_prefetch", "s_inst_prefetch", "s_code_end", "v_nop"]) => return None,
        _ if starts(&["s_wait", "s_barrier"]) => Kind::Wait,
        _ if starts(&["v_wmma", "v_swmmac", "v_mfma", "v_smfmac"]) => Kind::Matrix,
        _ if starts(&["v_fma", "v_dual_fma", "v_pk_fma", "v_mac_", "v_mad_f", "v_mad_mix", "v_madak", "v_madmk", "v_dot2"]) => Kind::MultiplyAdd,
        _ if starts(&["ds_"]) => Kind::WorkgroupMemory,
        _ if starts(&["buffer_", "global_", "flat_", "scratch_", "image_", "tbuffer_", "s_load", "s_buffer_load", "s_store"]) => Kind::Memory,
        _ if starts(&["s_"]) => Kind::Scalar,
        _ => Kind::Vector,
    })
}

/// A sequence of instructions that is entered at its beginning only.
#[derive(Debug, Default)]
struct Block {
    counts: Counts,
    /// Labels to which it may branch.
    targets: Vec<String>,
}

/// Splits a disassembly into blocks, by the labels in front of them; instructions before the first label are a block without
/// name.
fn blocks(text: &str) -> Vec<(String, Block)> {
    let mut blocks = vec![(String::new(), Block::default())];
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_suffix(':').filter(|label| !label.contains(char::is_whitespace)) {
            blocks.push((label.to_owned(), Block::default()));
            continue;
        }
        let code = line.split(';').next().unwrap_or_default().trim();
        if !code.starts_with(|first: char| first.is_ascii_lowercase()) {
            continue;
        }
        let (_, block) = blocks.last_mut().expect("one at least");
        // A dual instruction is two operations.
        for operation in code.split(" :: ") {
            let mut words = operation.split_whitespace();
            let mnemonic = words.next().unwrap_or_default();
            block.counts.add(mnemonic);
            if mnemonic == "s_branch" || mnemonic.starts_with("s_cbranch") {
                block.targets.extend(words.next().map(String::from));
            }
        }
    }
    blocks
}

/// The loops of a disassembly in their order, each without the loops in it. A branch to a label at or before it closes a
/// loop, which has all blocks between: the compiler lays loops out in one piece.
fn loops(text: &str) -> Vec<Loop> {
    let blocks = blocks(text);
    let places: BTreeMap<&str, usize> = blocks.iter().enumerate().map(|(place, (label, _))| (&label[..], place)).collect();
    // The last block of each loop, by its first.
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    for (place, (_, block)) in blocks.iter().enumerate() {
        for first in block.targets.iter().filter_map(|target| places.get(&target[..]).copied()).filter(|first| *first <= place) {
            ends.entry(first).and_modify(|end| *end = place.max(*end)).or_insert(place);
        }
    }
    let within = |place: usize| ends.iter().filter(move |(first, end)| (**first..=**end).contains(&place));
    // The innermost loop of a block begins last.
    let own = |first: usize, end: usize| (first..=end).filter(move |place| within(*place).next_back().is_some_and(|(innermost, _)| *innermost == first));
    let counts = |first: usize, end: usize| own(first, end).map(|place| blocks[place].1.counts).fold(Counts::default(), Counts::plus);
    ends.iter().map(|(&first, &end)| Loop { depth: within(first).count() as u32, counts: counts(first, end) }).collect()
}

/// Returns the loop with the greatest estimated share of a kernel's multiply-adds and matrix operations, as if every loop ran
/// eight times for each run of the one around it; of the instructions, where no loop multiplies. `None` without loops.
pub(crate) fn hot_loop(text: &str) -> Option<Loop> {
    let loops = loops(text);
    // A matrix operation stands for the multiply-adds of a 16 × 16 × 16 product in a subgroup of 64.
    let products = |found: &Loop| f64::from(found.counts.multiply_adds + 64 * found.counts.matrix);
    let multiplies = loops.iter().any(|found| products(found) > 0.0);
    let work = |found: &Loop| RUNS.powi(found.depth as i32) * if multiplies { products(found) } else { f64::from(found.counts.total()) };
    loops.into_iter().max_by(|one, other| work(one).total_cmp(&work(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two loops in a third, the first with a way out in its middle.
    const NESTED: &str = "
BB0:
	s_mov_b32 s4, 0                          ; be840380
	s_inst_prefetch 0x3                      ; bfa00003
BB1:
	global_load_dwordx4 v[0:3], v4, s[2:3]   ; dc380000
	s_waitcnt vmcnt(0)                       ; bf8c3f70
BB2:
	ds_read_b128 v[4:7], v8                  ; dbfc0000
	s_waitcnt lgkmcnt(0)                     ; bf8cc07f
	v_fmac_f32_e32 v9, v4, v0                ; 56120104
	v_fma_f32 v10, v5, v1, v10               ; d54b000a
	v_dual_fmac_f32 v11, v6, v2 :: v_dual_add_nc_u32 v12, 1, v12
	s_cbranch_scc1 BB4                       ; bf850001
BB3:
	s_add_i32 s4, s4, 1                      ; 81048104
	s_branch BB2                             ; bf82fff0
BB4:
	v_add_f32_e32 v13, v9, v10               ; 061a1509
	s_cbranch_vccnz BB4                      ; bf87fffe
BB5:
	s_cbranch_scc0 BB1                       ; bf84ffe0
BB6:
	s_endpgm                                 ; bf810000
	s_code_end                               ; bf9f0000
	(then repeated 3 times)
";

    #[test]
    fn loops_are_found_by_branches_back_and_counted_without_those_within() {
        let loops = loops(NESTED);
        let outer = Counts { memory: 1, scalar: 1, waits: 1, ..Counts::default() };
        let inner = Counts { multiply_adds: 3, vector: 1, scalar: 3, workgroup_memory: 1, waits: 1, ..Counts::default() };
        let single = Counts { vector: 1, scalar: 1, ..Counts::default() };
        let expected = [(1, outer), (2, inner), (2, single)].map(|(depth, counts)| Loop { depth, counts });
        assert_eq!(loops, expected);
    }

    #[test]
    fn the_hot_loop_multiplies_most_for_its_depth() {
        let hot = hot_loop(NESTED).expect("three loops");
        assert_eq!((hot.depth, hot.counts.multiply_adds, hot.counts.total()), (2, 3, 8));
        assert_eq!(hot.counts.share(), 0.375);
        assert_eq!(hot_loop("BB0:\n\tv_fma_f32 v0, v1, v2, v3\n\ts_endpgm\n"), None);
        // An unrolled loop outweighs a small one in it, and a loop that does not multiply counts only where none does.
        let unrolled = format!("BB0:\n{}BB1:\n\tv_fmac_f32 v0, v1, v2\n\ts_cbranch_scc1 BB1\n\ts_cbranch_scc1 BB0\n", "\tv_fmac_f32 v0, v1, v2\n".repeat(9));
        let single = "BB2:\n\tv_add_f32 v0, v1, v2\n\ts_cbranch_scc1 BB2\n";
        assert_eq!(hot_loop(&(unrolled + single)).map(|hot| (hot.depth, hot.counts.multiply_adds)), Some((1, 9)));
        assert_eq!(hot_loop(single).map(|hot| hot.counts.vector), Some(1));
    }

    #[test]
    fn every_kind_of_instruction_is_known() {
        let mut counts = Counts::default();
        let all = "v_wmma_f32_16x16x16_f16 v_pk_fma_f16 v_fmaak_f32 v_fma_mix_f32 v_mad_u32_u24 v_exp_f32 s_mul_i32 s_buffer_load_dword buffer_store_dword \
                   scratch_load_b32 ds_store_b128 s_barrier s_wait_alu s_delay_alu s_nop";
        all.split_whitespace().for_each(|mnemonic| counts.add(mnemonic));
        assert_eq!(counts, Counts { multiply_adds: 3, matrix: 1, vector: 2, scalar: 1, workgroup_memory: 1, memory: 3, waits: 2 });
        assert_eq!((counts.total(), counts.share()), (11, 4.0 / 11.0));
    }
}
