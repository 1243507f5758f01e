// Rows of 16-bit floats: two per word, low half first; each row starts on a word. Unpacking is core WGSL
// and needs no f16 feature.

// Words in a row of `columns`.
fn half_row(columns: u32) -> u32 {
    return (columns + 1u) / 2u;
}

// The half of a word that holds `column`.
fn half_of(word: u32, column: u32) -> f32 {
    let pair = unpack2x16float(word);
    return select(pair.x, pair.y, (column & 1u) == 1u);
}
