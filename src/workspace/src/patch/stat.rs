//! How many lines changed, as `git diff --stat` draws it.

use super::Lines;
use super::name::quoted;
use std::io::{self, Write};

/// Columns of the whole table.
const WIDTH: usize = 80;

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatLine<'a> {
    /// The file.
    pub path: &'a [u8],
    /// Where it was, if it has moved.
    pub from: Option<&'a [u8]>,
    /// Its lines, or its sizes before and after if it is binary; zeros if its content is the same.
    pub change: Result<Lines, (u64, u64)>,
}

/// Writes the table and its summary. Nothing for no files.
///
/// # Errors
/// What `out` says.
pub fn write_stat(files: &[StatLine<'_>], mut out: impl Write) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let name = |file: &StatLine<'_>| match file.from {
        Some(from) => moved(from, file.path),
        None => quoted(file.path, b""),
    };
    let names: Vec<String> =
        files.iter().map(|file| String::from_utf8_lossy(&name(file)).into_owned()).collect();
    let total = |lines: &Lines| lines.added + lines.removed;
    let lines = || files.iter().filter_map(|file| file.change.as_ref().ok());
    let most = lines().map(total).max().unwrap_or(0);
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let binary = files.iter().filter_map(|file| file.change.as_ref().err());
    let binary = binary.map(|sizes| binary_text(*sizes).len()).max();
    let digits = most.to_string().len().max(binary.map_or(0, |_| "Bin".len()));
    // What follows is git's own arithmetic: at most three eighths for the graph when name and graph do
    // not both fit, and at least six columns.
    let mut graph = (most as usize).max(binary.map_or(0, |width| width - "Bin ".len()));
    let mut name_width = longest;
    if name_width + digits + 6 + graph > WIDTH {
        graph = graph.min((WIDTH * 3 / 8 - digits - 6).max(6));
        if name_width > WIDTH - digits - 6 - graph {
            name_width = WIDTH - digits - 6 - graph;
        } else {
            graph = WIDTH - digits - 6 - name_width;
        }
    }
    for (file, name) in files.iter().zip(&names) {
        let name = shortened(name, name_width);
        write!(out, " {name:name_width$} | ")?;
        match &file.change {
            // Of the same content; only the mode differs.
            Err((0, 0)) => writeln!(out, "{:>digits$}", "Bin")?,
            Err(sizes) => writeln!(out, "{:>digits$} {}", "Bin", &binary_text(*sizes)["Bin ".len()..])?,
            Ok(lines) => {
                write!(out, "{:>digits$}", total(lines))?;
                let (plus, minus) = bars(lines, graph, most);
                let space = if total(lines) == 0 { "" } else { " " };
                writeln!(out, "{space}{}{}", "+".repeat(plus), "-".repeat(minus))?;
            }
        }
    }
    let sum: Lines = lines().copied().sum();
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    write!(out, " {} file{} changed", files.len(), plural(files.len() as u64))?;
    if sum.added > 0 || sum.removed == 0 {
        write!(out, ", {} insertion{}(+)", sum.added, plural(sum.added))?;
    }
    if sum.removed > 0 || sum.added == 0 {
        write!(out, ", {} deletion{}(-)", sum.removed, plural(sum.removed))?;
    }
    writeln!(out)
}

/// Both names of a file that has moved; directories that they share are said once.
fn moved(from: &[u8], to: &[u8]) -> Vec<u8> {
    let (old, new) = (quoted(from, b""), quoted(to, b""));
    if old != from || new != to {
        return [&old[..], b" => ", &new].concat();
    }
    let same = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let prefix = from[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    // The slash that ends the one may begin the other.
    let start = prefix.saturating_sub(1);
    let ends = from[start..].iter().rev().zip(to[start..].iter().rev());
    let ends = ends.take_while(|(a, b)| a == b).enumerate();
    let suffix = ends.filter(|(_, (byte, _))| **byte == b'/').last().map_or(0, |(at, _)| at + 1);
    let middle = |path: &[u8]| path[prefix..path.len().saturating_sub(suffix).max(prefix)].to_vec();
    let between = [&middle(from)[..], b" => ", &middle(to)].concat();
    if prefix + suffix == 0 {
        return between;
    }
    [&from[..prefix], b"{", &between, b"}", &from[from.len() - suffix..]].concat()
}

fn binary_text((old, new): (u64, u64)) -> String {
    format!("Bin {old} -> {new} bytes")
}

/// The end of a long name, from a `/` on if there is one.
fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept: String = name.chars().skip(length - width.saturating_sub(3)).collect();
    let from_slash = kept.find('/').map_or(&*kept, |at| &kept[at..]);
    format!("...{from_slash}")
}

/// Lengths of the two bars, scaled so that the longest pair fits, none of them lost.
fn bars(lines: &Lines, width: usize, most: u64) -> (usize, usize) {
    let (mut added, mut removed) = (lines.added as usize, lines.removed as usize);
    let (width, most) = (width as u64, most);
    if width <= most && most > 0 {
        let scale = |count: u64| if count == 0 { 0 } else { 1 + (count * (width - 1) / most) as usize };
        let mut total = scale(lines.added + lines.removed);
        if total < 2 && added > 0 && removed > 0 {
            total = 2;
        }
        if added < removed {
            added = scale(lines.added);
            removed = total - added;
        } else {
            removed = scale(lines.removed);
            added = total - removed;
        }
    }
    (added, removed)
}
