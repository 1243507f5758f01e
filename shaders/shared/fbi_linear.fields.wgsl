// The first fields of the parameters of every product with signs: imported within their struct.
    tokens: u32,
    // Rows of the sign matrix, its columns, words in a row.
    rows: u32,
    columns: u32,
    row_words: u32,
    // First outputs of the second and of the third layer.
    second_layer: u32,
    third_layer: u32,
