// Rows of 8-bit blocks: for each 32 columns one word with a scale (the bits of an f32), then signed
// bytes, four per word, low byte first. An element is scale · byte.

// Words in a row of `columns`.
fn code_row(columns: u32) -> u32 {
    return (columns + 31u) / 32u + (columns + 3u) / 4u;
}

// Offset of the block of `column` in its row: that of its scale.
fn code_block(column: u32) -> u32 {
    return column / 32u * 9u;
}

// Offset of the word with the byte of `column` in its block.
fn code_word(column: u32) -> u32 {
    return 1u + column % 32u / 4u;
}

// The byte of `column` in its word.
fn code_of(word: u32, column: u32) -> f32 {
    return f32(extractBits(bitcast<i32>(word), column % 4u * 8u, 8u));
}
