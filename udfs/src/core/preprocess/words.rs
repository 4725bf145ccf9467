//! Texts → their words or characters, by tables that lie beside the model; sqlinfer/runtime/words.py describes them, and
//! does the same.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::text::{text, words};
use crate::core::column::{Column, Rows};
use crate::core::error::{Error, Result, brief};
use crate::core::files::{read_intact, unreadable};
use crate::core::manifest::preprocess::WordsFields;
use crate::core::manifest::{MOST_LEVELS, Manifest, NullPolicy, levels, there};
use crate::core::plan::Reader;
use crate::sys::tensor::Buffer;

/// Noncharacters of Unicode: they come between parts and sections; in a text they are replaced by the third.
const PART: char = '\u{fffe}';
const SECTION: char = '\u{fdd1}';
const STRANGE: char = '\u{fdd0}';
const SIGMA: char = 'Σ';

type Ranges = Vec<(u32, u32)>;

/// A word has this many sets of characters, each so many times.
const MOST_SETS: usize = 8;
const MOST_TIMES: usize = 1 << 16;

#[derive(Deserialize)]
struct File {
    sections: Vec<Option<SectionFields>>,
}

#[derive(Deserialize)]
struct SectionFields {
    chars: HashMap<String, String>,
    #[serde(deserialize_with = "there")]
    sigma: Option<SigmaFields>,
    #[serde(deserialize_with = "there")]
    words: Option<WordFields>,
    inside: bool,
    space: Ranges,
}

#[derive(Deserialize)]
struct SigmaFields {
    cased: Ranges,
    ignorable: Ranges,
}

#[derive(Deserialize)]
struct WordFields {
    pattern: Vec<(Ranges, usize, Option<usize>)>,
    starts: bool,
    ends: bool,
    letters: Ranges,
    stop: HashSet<String>,
}

pub struct Words {
    sections: Vec<Option<Section>>,
}

struct Section {
    chars: HashMap<char, String>,
    sigma: Option<(Set, Set)>,
    cut: Cut,
}

enum Cut {
    Words(Pattern),
    /// Runs of white space are one space.
    Chars(Set),
    /// Of each word, between spaces.
    Inside(Set),
}

/// So many characters of each set in turn, as many as there are.
struct Pattern {
    items: Vec<(Set, usize, usize)>,
    starts: bool,
    ends: bool,
    letters: Set,
    stop: HashSet<String>,
}

/// Code points.
struct Set {
    ascii: [bool; 128],
    ranges: Ranges,
}

impl Set {
    /// Pairs of code points, ascending.
    fn new(ranges: Ranges) -> Result<Set> {
        let mut least = 0;
        for (first, last) in &ranges {
            if !(least..=*last).contains(first) || *last > u32::from(char::MAX) {
                return Err(Error::new(format!("code points as [{first}, {last}]")));
            }
            least = last + 1;
        }
        let mut ascii = [false; 128];
        for (code, known) in ascii.iter_mut().enumerate() {
            *known = ranges.iter().any(|(first, last)| (*first..=*last).contains(&(code as u32)));
        }
        Ok(Set { ascii, ranges })
    }

    fn has(&self, char: char) -> bool {
        let code = u32::from(char);
        match self.ascii.get(code as usize) {
            Some(known) => *known,
            None => {
                let at = self.ranges.partition_point(|(_, last)| *last < code);
                self.ranges.get(at).is_some_and(|(first, _)| *first <= code)
            }
        }
    }
}

impl Words {
    pub fn open(manifest: &Manifest, fields: &WordsFields) -> Result<Words> {
        let path = manifest.folder.join(&fields.words);
        let content = read_intact(&path, &fields.sha256)?;
        Words::read(&content).map_err(|reason| unreadable(&path, &reason))
    }

    fn read(content: &[u8]) -> Result<Words> {
        let value: Value = serde_json::from_slice(content).map_err(|e| Error::new(e.to_string()))?;
        require_objects(&value)?;
        let file: File = serde_json::from_value(value).map_err(|e| Error::new(brief(&e.to_string())))?;
        let sections = file.sections.into_iter().map(|fields| fields.map(Section::new).transpose());
        Ok(Words { sections: sections.collect::<Result<_>>()? })
    }

    /// Write the cut texts of the rows, one each.
    pub fn pack(
        &self,
        reader: &Reader,
        null: &NullPolicy,
        column: &Column,
        rows: Rows,
        place: (&mut Buffer, usize, usize),
    ) {
        let (Buffer::Text(out), width, at) = place else { return };
        let fill = null.text();
        for (number, row) in rows.iter().enumerate() {
            let given = text(column, words(reader), row).unwrap_or(fill);
            let cut = self.cut(&String::from_utf8_lossy(given));
            out.cells[number * width + at] = out.keep(cut.as_bytes());
        }
    }

    fn cut(&self, text: &str) -> String {
        let ours = |char: char| char == PART || char == SECTION;
        let plain: Vec<char> = text.chars().map(|char| if ours(char) { STRANGE } else { char }).collect();
        let mut out = String::with_capacity(2 * text.len());
        for (number, section) in self.sections.iter().enumerate() {
            if number > 0 {
                out.push(SECTION);
            }
            match section {
                None => out.extend(&plain),
                Some(section) => section.cut(&plain, &mut out),
            }
        }
        out
    }
}

fn code_point(text: &str) -> Result<char> {
    let code = text.parse().ok().filter(|code: &u32| code.to_string() == text);
    code.and_then(char::from_u32).ok_or_else(|| Error::new(format!("the code point '{}'", brief(text))))
}

/// Fields have names: serde takes a list of values, too, in the order of the fields.
fn require_objects(file: &Value) -> Result<()> {
    let mut sections = file.get("sections").and_then(Value::as_array).into_iter().flatten();
    let parts =
        |section: &'_ Value| ["sigma", "words"].iter().any(|name| section.get(name).is_some_and(Value::is_array));
    let unnamed = sections.any(|section: &Value| section.is_array() || parts(section));
    if file.is_array() || unnamed || levels(file) > MOST_LEVELS {
        return Err(Error::new("a list without names, or lists of too many levels".to_string()));
    }
    Ok(())
}

impl Section {
    fn new(fields: SectionFields) -> Result<Section> {
        let chars = fields.chars.into_iter().map(|(from, to)| Ok((code_point(&from)?, to)));
        let pair = |sigma: SigmaFields| Ok((Set::new(sigma.cased)?, Set::new(sigma.ignorable)?));
        let space = Set::new(fields.space)?;
        let cut = match fields.words {
            Some(words) => Cut::Words(Pattern::new(words)?),
            None if fields.inside => Cut::Inside(space),
            None => Cut::Chars(space),
        };
        Ok(Section { chars: chars.collect::<Result<_>>()?, sigma: fields.sigma.map(pair).transpose()?, cut })
    }

    fn cut(&self, text: &[char], out: &mut String) {
        let mut chars = Vec::with_capacity(text.len());
        for (place, char) in text.iter().enumerate() {
            let char = match &self.sigma {
                Some((cased, ignorable)) if *char == SIGMA => lower_sigma(text, place, cased, ignorable),
                _ => *char,
            };
            match self.chars.get(&char) {
                Some(other) => chars.extend(other.chars()),
                None => chars.push(char),
            }
        }
        match &self.cut {
            Cut::Words(pattern) => pattern.cut(&chars, out),
            Cut::Chars(space) => cut_chars(&chars, space, out),
            Cut::Inside(space) => cut_inside(&chars, space, out),
        }
    }
}

/// ς at the end of a word, σ elsewhere.
fn lower_sigma(text: &[char], place: usize, cased: &Set, ignorable: &Set) -> char {
    let before = text[..place].iter().rev().find(|char| !ignorable.has(**char));
    let behind = text[place + 1..].iter().find(|char| !ignorable.has(**char));
    let ends = before.is_some_and(|char| cased.has(*char)) && !behind.is_some_and(|char| cased.has(*char));
    if ends { 'ς' } else { 'σ' }
}

fn cut_chars(chars: &[char], space: &Set, out: &mut String) {
    let mut at = 0;
    while at < chars.len() {
        let run = chars[at..].iter().take_while(|char| space.has(**char)).count();
        out.push(PART);
        out.push(if run > 1 { ' ' } else { chars[at] });
        at += run.max(1);
    }
}

fn cut_inside(chars: &[char], space: &Set, out: &mut String) {
    for word in chars.split(|char| space.has(*char)).filter(|word| !word.is_empty()) {
        for char in [' '].iter().chain(word).chain(&[' ']) {
            out.push(PART);
            out.push(*char);
        }
        out.push(PART);
    }
}

impl Pattern {
    fn new(fields: WordFields) -> Result<Pattern> {
        let item = |(ranges, least, most): (Ranges, usize, Option<usize>)| {
            if least > most.unwrap_or(MOST_TIMES) || !most.is_none_or(|most| (1..=MOST_TIMES).contains(&most)) {
                return Err(Error::new(format!("a set {least} to {most:?} times")));
            }
            Ok((Set::new(ranges)?, least, most.unwrap_or(usize::MAX)))
        };
        let items = fields.pattern.into_iter().map(item).collect::<Result<Vec<_>>>()?;
        if !(1..=MOST_SETS).contains(&items.len()) || items.iter().all(|(_, least, _)| *least == 0) {
            return Err(Error::new("a pattern of no words".to_string()));
        }
        let WordFields { starts, ends, stop, .. } = fields;
        Ok(Pattern { items, starts, ends, letters: Set::new(fields.letters)?, stop })
    }

    fn cut(&self, chars: &[char], out: &mut String) {
        let mut at = 0;
        while at < chars.len() {
            match self.end(chars, at) {
                Some(end) if end > at => {
                    let word: String = chars[at..end].iter().collect();
                    if !self.stop.contains(&word) {
                        out.push(PART);
                        out.push_str(&word);
                    }
                    at = end;
                }
                _ => at += 1,
            }
        }
    }

    /// Where a word that starts here ends.
    fn end(&self, chars: &[char], start: usize) -> Option<usize> {
        if self.starts && !self.is_edge(chars, start) {
            return None;
        }
        self.rest(chars, start, &self.items)
    }

    fn rest(&self, chars: &[char], at: usize, items: &[(Set, usize, usize)]) -> Option<usize> {
        let Some(((set, least, most), items)) = items.split_first() else {
            return (!self.ends || self.is_edge(chars, at)).then_some(at);
        };
        let run = chars[at..].iter().take(*most).take_while(|char| set.has(**char)).count();
        (*least..=run).rev().find_map(|count| self.rest(chars, at + count, items))
    }

    /// Whether a word starts or ends here.
    fn is_edge(&self, chars: &[char], at: usize) -> bool {
        let is_letter = |char: Option<&char>| char.is_some_and(|char| self.letters.has(*char));
        is_letter(at.checked_sub(1).and_then(|before| chars.get(before))) != is_letter(chars.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(section: serde_json::Value, text: &str) -> String {
        let content = serde_json::json!({"sections": [section]}).to_string();
        Words::read(content.as_bytes()).unwrap().cut(text).replace(PART, "|")
    }

    fn section(words: serde_json::Value, inside: bool) -> serde_json::Value {
        serde_json::json!({
            "chars": {"65": "a", "201": "e\u{301}"},
            "sigma": {"cased": [[65, 90], [97, 122], [931, 931]], "ignorable": [[39, 39]]},
            "words": words, "inside": inside, "space": [[9, 10], [32, 32]],
        })
    }

    #[test]
    fn what_says_anything_else_is_refused() {
        let letters = serde_json::json!([[65, 90], [97, 122]]);
        let sound = serde_json::json!({
            "pattern": [[letters, 1, null]], "starts": true, "ends": false, "letters": letters, "stop": [],
        });
        let reads = |place: &str, value: &serde_json::Value| {
            let mut file = serde_json::json!({"sections": [section(sound.clone(), false), null]});
            *file.pointer_mut(place).unwrap() = value.clone();
            Words::read(file.to_string().as_bytes()).is_ok()
        };
        let words = "/sections/0/words";
        assert!(reads(words, &Value::Null) && reads("/sections/0/sigma", &Value::Null));
        for (place, value) in [
            ("/sections", serde_json::json!({})),
            ("/sections/0", serde_json::json!([{}, null, null, false, []])),
            ("/sections/0/chars", serde_json::json!({"065": "a"})),
            ("/sections/0/chars", serde_json::json!({"+65": "a"})),
            ("/sections/0/chars", serde_json::json!({"55296": "a"})),
            ("/sections/0/chars", serde_json::json!({"65": 1})),
            ("/sections/0/sigma", serde_json::json!([[], []])),
            ("/sections/0/space", serde_json::json!([[9, 8]])),
            ("/sections/0/space", serde_json::json!([[9, 9], [9, 10]])),
            ("/sections/0/space", serde_json::json!([[9, 1_114_112]])),
            ("/sections/0/inside", serde_json::json!(1)),
            ("/sections/0/words/pattern", serde_json::json!([])),
            ("/sections/0/words/pattern", serde_json::json!([[letters, 0, null]])),
            ("/sections/0/words/pattern", serde_json::json!([[letters, 3, 2]])),
            ("/sections/0/words/pattern", serde_json::json!([[letters, 65537, null]])),
            ("/sections/0/words/pattern", serde_json::json!(vec![(&letters, 1, 1); 9])),
            ("/sections/0/words/stop", serde_json::json!([1])),
            ("/sections/0/words/starts", Value::Null),
        ] {
            assert!(!reads(place, &value), "{place}: {value}");
        }
    }

    #[test]
    fn words_between_edges() {
        let letters = serde_json::json!([[65, 90], [97, 122], [201, 201], [769, 769]]);
        let words = serde_json::json!({
            "pattern": [[letters, 1, 1], [letters, 1, null]], "starts": true, "ends": true, "letters": letters,
            "stop": ["the"],
        });
        assert_eq!(cut(section(words, false), "the A Abc-xÉ the1"), "|abc|xe\u{301}|the1".replace("|the1", ""));
    }

    #[test]
    fn a_run_gives_back_what_the_next_set_needs() {
        let words = serde_json::json!({
            "pattern": [[[[97, 99]], 1, null], [[[99, 99]], 1, 1]], "starts": false, "ends": false, "letters": [],
            "stop": [],
        });
        assert_eq!(cut(section(words, false), "abccab"), "|abcc");
    }

    #[test]
    fn characters() {
        let none = serde_json::Value::Null;
        assert_eq!(cut(section(none.clone(), false), "a \n\tb\u{fffe}"), "|a| |b|\u{fdd0}");
        assert_eq!(cut(section(none, true), " ab  c"), "| |a|b| || |c| |");
    }

    #[test]
    fn sigma_at_the_end() {
        let none = serde_json::Value::Null;
        assert_eq!(cut(section(none, false), "aΣ' ΣΣa").replace('|', ""), "aς' σσa");
    }
}
