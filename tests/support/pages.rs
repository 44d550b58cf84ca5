//! The documentation, as far as it shows commands.

use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block of a page.
pub struct Block {
    /// The page, and the line on which the block begins.
    pub place: String,
    pub lines: Vec<String>,
}

/// Where pages for users are.
const PAGES: [&str; 4] = ["", "docs", "images", "use-cases"];

/// All blocks in one of these languages, of all pages.
pub fn blocks(languages: &[&str]) -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = PAGES.iter().flat_map(|part| fs::read_dir(root.join(part)).expect("a directory of ours"));
    let files = listed.map(|entry| entry.expect("a directory of ours").path());
    let mut pages: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    pages.sort();
    pages.iter().flat_map(|page| of_page(page, languages)).collect()
}

fn of_page(page: &Path, languages: &[&str]) -> Vec<Block> {
    let text = fs::read_to_string(page).expect("a page of ours");
    let mut blocks: Vec<Block> = Vec::new();
    // Whether the current block is wanted; none between blocks.
    let mut inside = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(language), None) => {
                let wanted = languages.contains(&language);
                if wanted {
                    let place = format!("{}:{}", page.display(), number + 1);
                    blocks.push(Block { place, lines: Vec::new() });
                }
                inside = Some(wanted);
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => blocks.last_mut().expect("it was pushed").lines.push(line.to_owned()),
            (None, _) => {}
        }
    }
    blocks
}
