//! What a newcomer or CI runs: `cargo xtask COMMAND`.

mod corpus;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["corpus", dataset, out] => corpus::make(dataset.as_ref(), out.as_ref()),
        _ => Err("cargo xtask corpus DATASET.json OUT.txt".into()),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
